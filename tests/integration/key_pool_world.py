"""A pool of a worker process on a real Redis, a ledger in memory, and what the tests of pools look at."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import redis
from pydantic import SecretStr

from routing.key_pool import Grant, KeyPool, ProviderKey
from routing.rate_limits import (
    AsyncLimiter,
    LimitPolicy,
    PriorUse,
)

DEADLINE_SECONDS = 20.0


class Usage:
    """A ledger in memory, which may be out of order."""

    def __init__(self) -> None:
        self.prior: dict[str, PriorUse] = {}
        self.broken = False

    def begin_use(self, fingerprint: str) -> PriorUse:
        if self.broken:
            raise OSError("the database is away")
        return self.prior.get(fingerprint, PriorUse(None, 0))


def key(
    fingerprint: str,
    spacing_ms: int = 0,
    windows: tuple[tuple[int, int], ...] = (),
    daily_limit: int | None = None,
) -> ProviderKey:
    secret = SecretStr(f"secret-of-{fingerprint}")
    return ProviderKey(fingerprint, secret, "hint", spacing_ms, windows, daily_limit)


@asynccontextmanager
async def a_pool(
    url: str, *keys: ProviderKey, usage: Usage | None = None, kind: type[KeyPool] = KeyPool
) -> AsyncIterator[KeyPool]:
    limiter = AsyncLimiter.connect(url, LimitPolicy(open_ms=300))
    pool = kind("p", keys, limiter, usage or Usage())
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            yield pool
    finally:
        await pool.close()
        await limiter.close()


async def take(pool: KeyPool, tenant: str, n: int) -> list[Grant]:
    return list(await asyncio.gather(*(pool.acquire(tenant) for _ in range(n))))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition; the pool's deadline stands around it."""
    while not await condition():
        await asyncio.sleep(0.02)


def keep_loop_busy(seconds: float) -> None:
    """Do on the loop what a long computation does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def gaps(grants: Sequence[Grant]) -> list[float]:
    moments = sorted(grant.released_at for grant in grants)
    return [later - earlier for earlier, later in pairwise(moments)]


def used(url: str, fingerprint: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.hget(f"{{rl}}:key:{fingerprint}", "used") or 0)


async def true(value: bool) -> bool:
    """Return a value as a condition of `until`."""
    return value
