"""Verification and searches of one process wait in one line for a provider's keys, whichever of them is there first."""

import asyncio

import aiohttp
import pytest

from app.crypto import fingerprint
from app.settings import get_settings
from tasks.calling import Calling
from tasks.enrichment_tools import EnrichmentWork
from tasks.runtime import Runtime
from tasks.verification_tools import VerificationWork
from tests.conftest import Environment
from tests.factories import make_tenant
from tests.integration.test_key_registry import keys_of

CARRIED = {
    "mailtester_api_keys": [["carried-key-0001"]],
    "mailtester_key_spacings": [[250]],
    "mailtester_key_daily_limits": [[500]],
    "mailtester_key_requests_per_30s": [[165]],
}
BOTH = (EnrichmentWork, VerificationWork)


@pytest.mark.parametrize("order", [BOTH, BOTH[::-1]])
def test_keys_of_the_environment_serve_both_in_one_line(
    module_environment: Environment,
    order: tuple[type[EnrichmentWork | VerificationWork], ...],
) -> None:
    tenant = make_tenant()
    settings = type(get_settings()).model_validate(get_settings().model_dump() | CARRIED)

    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            calling = Calling(settings, Runtime(), session)
            pools = [await kind(calling)._pools["mailtester"](tenant.id) for kind in order]
            assert pools[0] is pools[1]
            assert keys_of(pools[0]) == {fingerprint("mailtester", "carried-key-0001")}
            await pools[0].close()

    asyncio.run(run())
