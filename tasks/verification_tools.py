"""Builds what verification needs once per worker process, and keeps the counts of calls moving to PostgreSQL."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import aiohttp
import structlog
from sqlalchemy.exc import DBAPIError

from app.settings import Settings
from app.verification.departures import NotingRequest
from app.verification.key_registry import KeyRegistry
from app.verification.key_usage import CallCounter, KeyUsage
from app.verification.local_checks import LocalChecks
from app.verification.mailtester import MailTester
from app.verification.tools import Tools
from routing.rate_limits.limiter import AsyncLimiter
from tasks.presence import WORKER_ID
from tasks.runtime import Runtime
from tasks.worker_mode import environment_keys

log = structlog.get_logger(__name__)
#: Calls are counted in PostgreSQL at most this late.
COUNT_SECONDS = 1.0
#: Pools that nobody uses are looked for this often.
SWEEP_SECONDS = 60.0


class VerificationTools:
    """The process's session, provider, checks and key pools."""

    def __init__(
        self, settings: Settings, runtime: Runtime, session: aiohttp.ClientSession
    ) -> None:
        self._settings = settings
        self._runtime = runtime
        self._usage = KeyUsage()
        self._counter = CallCounter()
        self._provider = MailTester.from_settings(session, settings)
        self._checks = LocalChecks.from_settings(settings)
        self.keys = KeyRegistry(
            settings,
            AsyncLimiter.connect(settings.limits_url, KeyRegistry.policy(settings)),
            self._usage,
            runtime.in_thread,
            environment=environment_keys(settings),
            owners=runtime.owners,
        )
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def build(cls, settings: Settings, runtime: Runtime) -> Self:
        """Make the tools on the running loop."""
        # Limits, not the number of connections, decide how many calls are under way.
        connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=30)
        session = aiohttp.ClientSession(connector=connector, request_class=NotingRequest)
        tools = cls(settings, runtime, session)
        tools._tasks = [asyncio.create_task(tools._count()), asyncio.create_task(tools._sweep())]
        runtime.on_keys_changed(tools.keys.invalidate)
        await tools._provider.open_ahead()
        return tools

    def for_run(self, on_recorded: Callable[[int], Any]) -> Tools:
        """Return the collaborators of one chunk's run, which tells `on_recorded` how many rows it recorded."""
        return Tools(
            settings=self._settings,
            worker_id=WORKER_ID,
            provider=self._provider,
            checks=self._checks,
            pool_for=self.keys.pool_for,
            in_thread=self._runtime.in_thread,
            drain_by=lambda: self._runtime.drain_by,
            on_recorded=on_recorded,
            on_call=self._counter.count,
        )

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                if dropped := await self.keys.drop_unused():
                    log.info("key_pools_dropped", pools=dropped)
            except Exception:
                log.exception("key_pools_not_dropped")

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            calls = self._counter.take()
            if not calls:
                continue
            try:
                await self._runtime.in_thread(lambda calls=calls: self._usage.add(calls))  # type: ignore[misc]
            except DBAPIError as error:
                self._counter.give_back(calls)
                log.warning("calls_not_counted", error=type(error.orig).__name__)
