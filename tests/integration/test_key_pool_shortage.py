"""The pool of a worker process when keys have nothing to give: what is said, and how health comes and goes."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from routing.key_pool import KeyPool, Throttled
from routing.rate_limits import (
    AsyncLimiter,
)
from tests.integration.key_pool_world import (
    a_pool,
    key,
    take,
    until,
    used,
)


def test_nothing_free_within_the_horizon_is_said_to_all(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", 0, ((2, 60_000),))) as pool:
            await take(pool, "a", 2)
            refused = await asyncio.gather(
                *(pool.acquire(tenant) for tenant in "abc"), return_exceptions=True
            )
            for error in refused:
                assert isinstance(error, Throttled)
                assert error.reason == "window"
                wait = error.not_before - datetime.now(UTC)
                assert timedelta(seconds=30) < wait <= timedelta(seconds=60.1)
            assert used(redis_url, "aa") == 2

    asyncio.run(run())


def test_a_used_up_day_says_so(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", daily_limit=1)) as pool:
            await pool.acquire("a")
            with pytest.raises(Throttled) as caught:
                await pool.acquire("a")
            assert caught.value.reason == "daily_quota"
            assert caught.value.not_before.time().replace(microsecond=0).isoformat() == "00:00:00"

    asyncio.run(run())


def test_a_pool_without_keys_says_so(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url) as pool:
            with pytest.raises(Throttled) as caught:
                await pool.acquire("a")
            assert caught.value.reason == "no_keys"

    asyncio.run(run())


def test_a_429_rests_the_key_and_the_others_go_on(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", 20), key("bb", 20)) as pool:
            grants = await take(pool, "a", 4)
            resting = next(grant for grant in grants if grant.key.fingerprint == "aa")
            await pool.report(resting, "throttled", 30.0)
            after = await take(pool, "a", 20)
            assert {grant.key.fingerprint for grant in after} == {"bb"}

    asyncio.run(run())


def test_a_refused_key_is_probed_once_and_comes_back(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", 20)) as pool:
            await pool.report(await pool.acquire("a"), "unauthorized", why="bad key")
            # Open for 300 ms here: the next grant is the probe, and the only one.
            taking = {asyncio.create_task(pool.acquire("a")) for _ in range(3)}
            done, _ = await asyncio.wait(taking, return_when=asyncio.FIRST_COMPLETED)
            probe = [task.result() for task in done if task.exception() is None]
            assert len(probe) == 1
            await asyncio.gather(*taking, return_exceptions=True)
            assert sum(task.exception() is None for task in taking) == 1
            await pool.report(probe[0], "clean")
            await until(lambda: _can_acquire(pool))

    asyncio.run(run())


async def _can_acquire(pool: KeyPool) -> bool:
    try:
        await pool.acquire("a")
    except Throttled:
        return False
    return True


def test_clean_calls_narrow_a_widened_spacing(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", 1)) as pool:
            grant = await pool.acquire("a")
            await pool.report(grant, "throttled", 0.0)
            for _ in range(250):
                await pool.report(grant, "clean")
            limiter = AsyncLimiter.connect(redis_url)

            async def is_narrow() -> bool:
                return (await limiter.describe(["aa"]))["aa"].spacing_multiplier == 1

            await until(is_narrow)
            await limiter.close()

    asyncio.run(run())
