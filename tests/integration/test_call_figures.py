"""Figures of calls reach the database, also after it could not be had for a moment."""

import asyncio
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import aiohttp
import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.provider_errors import Unavailable
from app.settings import get_settings
from tasks import calling
from tasks.calling import Calling
from tasks.runtime import Runtime
from tests.conftest import Environment
from tests.factories import make_tenant, owner_sql

T = TypeVar("T")


class Stumbling(Runtime):
    """A process that gets no connection for its first two calls of the database."""

    tries = 0

    async def in_thread(self, call: Callable[[], T]) -> T:
        self.tries += 1
        if self.tries <= 2:
            raise PoolTimeout
        return await super().in_thread(call)


def count_calls(tenant_id: UUID) -> tuple[int, int]:
    """Calls and errors that the database has."""
    told = owner_sql(
        "SELECT ARRAY[sum(calls), sum(errors)]::integer[] FROM call_figures WHERE tenant_id = :t",
        {"t": tenant_id},
    )
    return told[0] or 0, told[1] or 0


def test_calls_are_told_also_after_a_wait_for_a_connection_in_vain(
    module_environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "FIGURES_SECONDS", 0.02)
    tenant, runtime = make_tenant(), Stumbling()

    async def call_and_wait() -> None:
        async with aiohttp.ClientSession() as session:
            counting = Calling(get_settings(), runtime, session)
            telling = asyncio.create_task(counting._tell())
            counting._answered(tenant.id, "apollo", 8.0, None)
            counting._answered(tenant.id, "apollo", 9.0, Unavailable("away"))
            try:
                async with asyncio.timeout(20):
                    while count_calls(tenant.id) != (2, 1):
                        await asyncio.sleep(0.02)
            finally:
                telling.cancel()

    asyncio.run(call_and_wait())
    assert runtime.tries == 3
