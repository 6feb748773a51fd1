"""The pool of a worker process while keys are edited, and when Redis or the ledger loses what it knew."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis

from devtools.redis_server import RedisServer
from routing.key_pool import Throttled
from routing.rate_limits import (
    AsyncLimiter,
    LimitsUnavailable,
    PriorUse,
    calls,
    name_pool,
    registration,
)
from tests.integration.key_pool_world import (
    Usage,
    a_pool,
    key,
    take,
    true,
    until,
)


def test_keys_are_edited_while_the_pool_works(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", 0, ((1, 60_000),))) as pool:
            await pool.acquire("a")
            with pytest.raises(Throttled):
                await pool.acquire("a")
            pool.update_keys([key("aa", 0, ((3, 60_000),))])
            assert len(await take(pool, "a", 2)) == 2
            pool.update_keys([key("bb")])
            assert (await pool.acquire("a")).key.fingerprint == "bb"
            pool.update_keys([])
            with pytest.raises(Throttled):
                await pool.acquire("a")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("becomes", "served_by"),
    [([("bb", 0)], {"bb"}), ([("aa", 60_000), ("bb", 0)], {"bb"})],
    ids=["removed", "edited"],
)
def test_slots_of_a_key_that_is_gone_or_changed_are_given_up(
    redis_url: str, becomes: list[tuple[str, int]], served_by: set[str]
) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", 400)) as pool:
            await pool.acquire("a")
            waiting = [asyncio.create_task(pool.acquire("a")) for _ in range(3)]
            await until(lambda: true(len(pool._slots) > 0))
            pool.update_keys([key(*each) for each in becomes])
            assert len(pool._slots) == 0
            assert {(await waiter).key.fingerprint for waiter in waiting} == served_by

    asyncio.run(run())


def test_on_a_loop_too_the_second_lets_the_first_register_a_new_key(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of docs/adr/0013: two processes that meet a new key at once; its use was begun a moment ago, by the other."""
    waits: list[float] = []

    async def run() -> None:
        limiter = AsyncLimiter.connect(redis_url)
        new = key("aa", 20, ((50, 60_000),)).limits

        async def meanwhile(seconds: float) -> None:
            waits.append(seconds)
            await limiter.run(calls.register(new, None, 0, None))

        monkeypatch.setattr(
            registration, "asyncio", SimpleNamespace(sleep=meanwhile, to_thread=asyncio.to_thread)
        )
        usage = Usage()
        usage.prior["aa"] = PriorUse(datetime.now(UTC), 0)
        await registration.prepare_pool_async(limiter, name_pool("p", ["aa"]), [new], usage, {})
        assert (await limiter.describe(["aa"]))["aa"].cold_until_ms == 0
        await limiter.close()

    asyncio.run(run())
    assert waits == [registration.YIELD_SECONDS]
    assert registration.YIELD_SECONDS == 0.3


def test_lost_state_makes_keys_start_cold(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", 1, ((50, 60_000),)), key("bb")) as pool:
            grants = await take(pool, "a", 20)
            assert len(grants) == 20
            with redis.Redis.from_url(redis_url) as client:
                client.flushdb()
            # The unlimited key goes on at once; the other one was used a moment ago.
            after = await take(pool, "a", 20)
            assert {grant.key.fingerprint for grant in after} == {"bb"}

    asyncio.run(run())


def test_without_redis_waiters_are_told_and_later_served(tmp_path: Path) -> None:
    async def run(server: RedisServer) -> None:
        async with a_pool(server.url, key("aa")) as pool:
            grant = await pool.acquire("a")
            server.kill()
            with pytest.raises(LimitsUnavailable):
                await pool.acquire("a")
            await pool.report(grant, "failed")
            server.resume()

            async def is_back() -> bool:
                try:
                    await pool.acquire("a")
                except LimitsUnavailable:
                    return False
                return True

            await until(is_back)

    with RedisServer(tmp_path, persistent=False) as server:
        asyncio.run(run(server))


def test_without_the_ledger_no_key_is_used(redis_url: str) -> None:
    async def run() -> None:
        usage = Usage()
        usage.broken = True
        async with a_pool(redis_url, key("aa"), usage=usage) as pool:
            with pytest.raises(LimitsUnavailable):
                await pool.acquire("a")
            usage.broken = False
            assert await pool.acquire("a")

    asyncio.run(run())
