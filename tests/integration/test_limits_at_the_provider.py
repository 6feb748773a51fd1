"""What the pool lets go, judged by the provider's own record: 1, 10 and 100 keys."""

import asyncio
from functools import partial

import aiohttp
import pytest
from pydantic import SecretStr

from app.departures import NotingRequest, departed
from app.verification.mailtester import MailTester
from routing.key_pool import KeyPool, ProviderKey, Throttled
from routing.rate_limits import AsyncLimiter, LimitPolicy, PriorUse
from sandbox.process import run_sandbox

SPACING_MS, PER_WINDOW, WINDOW_MS = 300, 4, 3_000
#: Wide, because a busy machine may keep a call on its way for long; what is left must hold.
POLICY = LimitPolicy(spacing_margin_ms=150, window_margin_ms=600)
#: Calls a key: more than its window holds.
EACH = 6


class Unused:
    """A ledger of keys that were never used."""

    def begin_use(self, fingerprint: str) -> PriorUse:  # noqa: ARG002 - the ledger's interface
        return PriorUse(None, 0)


async def call_all(redis_url: str, base_url: str, keys: list[ProviderKey]) -> None:
    limiter = AsyncLimiter.connect(redis_url, POLICY)
    pool = KeyPool("p", keys, limiter, Unused())
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), request_class=NotingRequest
    ) as session:
        provider = MailTester(session, base_url=base_url, token_url=f"{base_url}/token")

        async def call(number: int) -> None:
            while True:
                try:
                    grant = await pool.acquire("t")
                    break
                except Throttled as throttled:
                    # Beyond the horizon a worker gives its slot away for so long.
                    await asyncio.sleep(throttled.wait_seconds)
            departed.set(partial(pool.note_sent, grant))
            await provider.verify(f"ok-{number}@example.com", grant.key.secret.get_secret_value())

        try:
            await asyncio.gather(*(call(number) for number in range(EACH * len(keys))))
        finally:
            await pool.close()
            await limiter.close()


@pytest.mark.parametrize("count", [1, 10, 100])
def test_no_limit_is_broken_and_no_key_left_out(redis_url: str, count: int) -> None:
    names = [f"exact{count}key{n}" for n in range(count)]
    windows = ((PER_WINDOW, WINDOW_MS),)
    keys = [ProviderKey(n, SecretStr(n), "hint", SPACING_MS, windows, None) for n in names]
    with run_sandbox("--prompt") as sandbox:
        sandbox.put_keys(
            *({"key": n, "spacing_ms": SPACING_MS, "windows": list(windows)} for n in names)
        )
        asyncio.run(call_all(redis_url, sandbox.url, keys))
        summary = sandbox.summary()
    assert (summary["calls"], summary["violations"]) == (EACH * count, 0)
    assert sorted(summary["keys"]) == sorted(names)
