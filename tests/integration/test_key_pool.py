"""The pool of a worker process on a real Redis: turns, and when calls leave."""

import asyncio
from collections import Counter

import pytest

from routing.held_slots import HeldSlot
from routing.key_pool import LOOKAHEAD_MS, Grant, KeyPool
from routing.rate_limits import (
    LimitsUnavailable,
)
from tests.integration.key_pool_world import (
    a_pool,
    gaps,
    keep_loop_busy,
    key,
    take,
    true,
    until,
    used,
)


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
            await until(lambda: true(len(served) >= 10))
            before = len(served)
            small = [asyncio.create_task(call("small")) for _ in range(10)]
            await asyncio.gather(*big, *small)
            assert Counter(served[before : before + 20])["small"] >= 9

    asyncio.run(run())


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


def test_an_unlimited_key_serves_in_batches(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa")) as pool:
            grants = await take(pool, "a", 640)
            assert len(grants) == 640
            assert pool.stats.reservations <= 12

    asyncio.run(run())


def test_a_slot_that_comes_late_is_moved_not_lost(redis_url: str) -> None:
    async def run() -> None:
        async with a_pool(redis_url, key("aa", 150)) as pool:
            await pool.acquire("a")
            second = asyncio.create_task(pool.acquire("a"))
            await until(lambda: true(used(redis_url, "aa") == 2))
            keep_loop_busy(0.25)
            await second
            assert pool.stats.late_grants >= 1
            assert pool.stats.wasted_grants == 0
            assert used(redis_url, "aa") == 2

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


def test_more_is_reserved_while_slots_are_still_held(redis_url: str) -> None:
    held_then: list[int] = []

    class Noting(KeyPool):
        async def _refill(self, n: int) -> None:
            held_then.append(len(self._slots))
            await super()._refill(n)

    async def run() -> None:
        async with a_pool(redis_url, key("aa", 20), kind=Noting) as pool:
            await take(pool, "a", 120)

    asyncio.run(run())
    # Half of what lies ahead, a quarter of a second in calls of 20 ms: the first reservation found none.
    assert held_then[0] == 0
    assert max(held_then) > 5, held_then
