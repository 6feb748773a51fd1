"""The pool of a worker process on a real Redis: turns, release, shortage, edits, loss of Redis."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from pydantic import SecretStr

from devtools.redis_server import RedisServer
from routing.held_slots import HeldSlot
from routing.key_pool import LOOKAHEAD_MS, Grant, KeyPool, ProviderKey, Throttled
from routing.rate_limits import (
    AsyncLimiter,
    LimitPolicy,
    LimitsUnavailable,
    PriorUse,
    calls,
    name_pool,
    registration,
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


def test_calls_leave_a_spacing_apart_also_from_a_busy_loop(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", 20)) as pool:
            taking = [asyncio.create_task(pool.acquire("t")) for _ in range(60)]
            while not all(task.done() for task in taking):
                keep_loop_busy(0.007)
                await asyncio.sleep(0.004)
            grants = [task.result() for task in taking]
            assert min(gaps(grants)) >= 0.020 - 1e-9

    asyncio.run(run())


def test_two_pools_on_one_key_never_send_too_close(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", 40)) as one, a_pool(redis_url, key("aa", 40)) as two:
            taking = [
                asyncio.create_task(pool.acquire("t")) for _ in range(20) for pool in (one, two)
            ]
            while not all(task.done() for task in taking):
                keep_loop_busy(0.005)
                await asyncio.sleep(0.005)
            assert min(gaps([task.result() for task in taking])) >= 0.040 - 1e-3

    asyncio.run(run())


def test_a_tenant_with_one_waiter_is_not_behind_one_with_64(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", 5)) as pool:
            served: list[str] = []

            async def call(tenant: str) -> None:
                await pool.acquire(tenant)
                served.append(tenant)

            big = [asyncio.create_task(call("big")) for _ in range(64)]
            await until(lambda: _true(len(served) >= 10))
            before = len(served)
            small = [asyncio.create_task(call("small")) for _ in range(10)]
            await asyncio.gather(*big, *small)
            assert Counter(served[before : before + 20])["small"] >= 9

    asyncio.run(run())


async def _true(value: bool) -> bool:
    return value


def test_who_gives_up_costs_no_slot(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", 30)) as pool:
            quitters = [asyncio.create_task(pool.acquire("a")) for _ in range(10)]
            stayers = [asyncio.create_task(pool.acquire("b")) for _ in range(10)]
            await asyncio.wait(quitters[:1])
            for quitter in quitters[1:]:
                quitter.cancel()
            await asyncio.gather(*stayers)
            await asyncio.gather(*quitters, return_exceptions=True)
            done = sum(not task.cancelled() for task in quitters)
            # Slots lie reserved a little ahead for those who left; nothing beyond that was taken.
            assert used(redis_url, "aa") <= 10 + done + LOOKAHEAD_MS // 30 + 1
            again = await take(pool, "c", 3)
            assert all(again)

    asyncio.run(run())


class Interrupting(KeyPool):
    """Cancels a task in the moment between its turn and its waking up."""

    victim: asyncio.Task[Grant] | None = None

    def _hand_over(self, slot: HeldSlot) -> None:
        super()._hand_over(slot)
        if self.victim is not None:
            victim, self.victim = self.victim, None
            victim.cancel()


def test_a_turn_that_is_cancelled_goes_to_the_next(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", 0, ((1, 60_000),)), kind=Interrupting) as pool:
            assert isinstance(pool, Interrupting)
            first = asyncio.create_task(pool.acquire("a"))
            second = asyncio.create_task(pool.acquire("b"))
            pool.victim = first
            # The only slot of this minute: had it been lost, the second would be refused.
            assert (await second).key.fingerprint == "aa"
            assert first.cancelled()

    asyncio.run(run())


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


def test_an_unlimited_key_serves_in_batches(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa")) as pool:
            grants = await take(pool, "a", 640)
            assert len(grants) == 640
            assert pool.stats.reservations <= 12

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
            await until(lambda: _true(len(pool._slots) > 0))
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


def test_a_slot_that_comes_late_is_moved_not_lost(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", 150)) as pool:
            await pool.acquire("a")
            second = asyncio.create_task(pool.acquire("a"))
            await until(lambda: _true(used(redis_url, "aa") == 2))
            keep_loop_busy(0.25)
            await second
            assert pool.stats.late_grants >= 1
            assert pool.stats.wasted_grants == 0
            assert used(redis_url, "aa") == 2

    asyncio.run(run())


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


def test_closing_turns_waiters_away(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", 1_500)) as pool:
            await pool.acquire("a")
            waiter = asyncio.create_task(pool.acquire("a"))
            await asyncio.sleep(0)
            await pool.close()
            with pytest.raises(LimitsUnavailable):
                await waiter

    asyncio.run(run())


def test_closing_in_the_middle_of_a_reservation_ends(redis_url: str) -> None:
    async def run() -> None:
        for turns in range(40):
            async with a_pool(redis_url, key("aa", 1)) as pool:
                taking = [asyncio.create_task(pool.acquire("a")) for _ in range(3)]
                for _ in range(turns):
                    await asyncio.sleep(0)
                await pool.close()
                ends = await asyncio.gather(*taking, return_exceptions=True)
                assert all(isinstance(end, Grant | LimitsUnavailable) for end in ends)
                with pytest.raises(LimitsUnavailable):
                    await pool.acquire("a")

    asyncio.run(run())
