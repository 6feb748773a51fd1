"""Limits that are edited while a key is in use: its day goes on by another reset hour, and no window blocks Redis."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.rate_limits import KeyLimits, Limiter, PoolRef, Window, name_pool
from routing.rate_limits.limits import HOUR_MS, Move

DAY_MS = 86_400_000
#: Noon.
NOW = 20_000 * DAY_MS + 12 * HOUR_MS
POOL = name_pool("p", ["aa"])
LARGE = 100_000


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def limiter(redis_url: str) -> Iterator[Limiter]:
    limiter = Limiter.connect(redis_url)
    yield limiter
    limiter.close()


def register(limiter: Limiter, key: KeyLimits, now_ms: int = NOW, **how: Any) -> PoolRef:
    limiter.register(key, now_ms=now_ms, **how)
    limiter.define_pool(POOL)
    return POOL


def take(limiter: Limiter, n: int, now_ms: int = NOW) -> int:
    return sum(slot.calls for slot in limiter.reserve(POOL, n, now_ms=now_ms).slots)


def used(limiter: Limiter, now_ms: int = NOW) -> int:
    return limiter.describe(["aa"], now_ms=now_ms)["aa"].used_today


DAILY = KeyLimits("aa", daily_limit=10)


def begin_at(limiter: Limiter, hour: int, now_ms: int = NOW) -> None:
    limiter.edit([replace(DAILY, reset_hour=hour)], now_ms=now_ms)


def test_another_reset_hour_does_not_begin_the_day_anew(limiter: Limiter) -> None:
    register(limiter, DAILY)
    made = take(limiter, 30)
    for hour in (5, 0, 23, 0, 13, 12, 0):
        begin_at(limiter, hour)
        made += take(limiter, 30)
    assert made == 10
    assert used(limiter) == 10


def test_what_a_lost_state_had_used_is_carried_too(limiter: Limiter) -> None:
    register(limiter, DAILY, used_today=8)
    begin_at(limiter, 5)
    assert take(limiter, 30) == 2


def test_a_day_that_began_before_the_old_one_has_what_was_used_in_both(limiter: Limiter) -> None:
    yesterday = NOW - 13 * HOUR_MS
    register(limiter, DAILY, yesterday)
    assert (take(limiter, 6, yesterday), take(limiter, 3)) == (6, 3)
    begin_at(limiter, 22)
    assert used(limiter) == 9
    assert take(limiter, 30) == 1


def test_an_hour_that_was_a_mistake_takes_nothing_of_the_day(limiter: Limiter) -> None:
    yesterday = NOW - 13 * HOUR_MS
    register(limiter, DAILY, yesterday)
    take(limiter, 10, yesterday)
    take(limiter, 3)
    begin_at(limiter, 22)
    begin_at(limiter, 0)
    assert used(limiter) == 3


def test_the_new_day_ends_at_its_hour(limiter: Limiter) -> None:
    register(limiter, DAILY)
    take(limiter, 30)
    begin_at(limiter, 13)
    answer = limiter.reserve(POOL, 30, now_ms=NOW)
    assert answer.not_before_ms == NOW + HOUR_MS + 75
    assert take(limiter, 30, answer.not_before_ms) == 10


Step = st.tuples(
    st.sampled_from([0, 1, 5, 12, 13, 22, 23]),
    st.sampled_from([0, 1, HOUR_MS, 7 * HOUR_MS, DAY_MS]),
    st.integers(0, 12),
)


def test_no_edits_let_a_day_have_more_than_its_quota(limiter: Limiter, client: redis.Redis) -> None:
    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(Step, min_size=1, max_size=40))
    def try_edits(steps: list[tuple[int, int, int]]) -> None:
        client.flushdb()
        register(limiter, DAILY)
        now, grants = NOW, [0]
        for hour, ms, n in steps:
            now += ms
            begin_at(limiter, hour, now)
            begun = (now - hour * HOUR_MS) // DAY_MS * DAY_MS + hour * HOUR_MS
            before = sum(at >= begun for at in grants)
            assert used(limiter, now) >= before
            slots = limiter.reserve(POOL, n, horizon_ms=0, now_ms=now).slots if n else ()
            grants += [slot.at_ms for slot in slots for _ in range(slot.calls)]
            assert sum(at >= begun for at in grants) <= max(before, 10)

    try_edits()


def in_a_window(count: int, ms: int) -> KeyLimits:
    return KeyLimits("aa", 0, (Window(count, ms),))


def ring(client: redis.Redis, ms: int) -> Any:
    return client.lrange(f"{{rl}}:ring:aa:{ms}", 0, -1)


@pytest.mark.parametrize("known", [True, False])
def test_a_large_new_window_holds_the_key_and_fills_no_ring(
    limiter: Limiter, client: redis.Redis, known: bool
) -> None:
    register(limiter, KeyLimits("aa"), cold_ms=None if known else 0)
    take(limiter, 2 * LARGE)
    limiter.edit([in_a_window(LARGE, 30_000)], now_ms=NOW)
    assert client.exists("{rl}:ring:aa:30000") == 0
    held = limiter.reserve(POOL, 1, now_ms=NOW)
    assert (held.slots, held.reason, held.not_before_ms) == ((), "window", NOW + 31_000)
    assert take(limiter, 3, held.not_before_ms) == 3
    # Written again and again, as each process does: nothing is held twice.
    limiter.edit([in_a_window(LARGE, 30_000)], now_ms=held.not_before_ms)
    assert take(limiter, 3, held.not_before_ms) == 3


def test_a_hold_goes_along_with_grants_that_are_moved(limiter: Limiter) -> None:
    register(limiter, KeyLimits("aa", 1), cold_ms=0)
    assert take(limiter, 1) == 1
    limiter.edit([in_a_window(LARGE, 30_000)], now_ms=NOW)
    assert limiter.postpone([Move("aa", 1, 1, 1_500)]) == [True]
    assert limiter.reserve(POOL, 1, now_ms=NOW).not_before_ms == NOW + 32_500


def test_a_large_window_of_a_key_with_few_calls_knows_them(
    limiter: Limiter, client: redis.Redis
) -> None:
    register(limiter, KeyLimits("aa", 1))
    assert take(limiter, 7) == 7
    limiter.edit([in_a_window(LARGE, 30_000)], now_ms=NOW)
    assert len(ring(client, 30_000)) == 7
    assert limiter.reserve(POOL, 1, now_ms=NOW + 100).slots


def test_a_window_of_another_length_has_what_a_ring_knows(
    limiter: Limiter, client: redis.Redis
) -> None:
    register(limiter, in_a_window(6_000, 30_000))
    assert take(limiter, 6_000) == 6_000
    limiter.edit([in_a_window(5_500, 60_000)], now_ms=NOW)
    assert ring(client, 60_000) == [str(NOW).encode()] * 5_500
    assert limiter.reserve(POOL, 1, now_ms=NOW).not_before_ms == NOW + 60_075


def test_a_ring_is_filled_up_to_its_count(limiter: Limiter, client: redis.Redis) -> None:
    register(limiter, KeyLimits("aa", 1), cold_ms=0)
    assert take(limiter, 2) == 2
    limiter.edit([in_a_window(2_345, 30_000)], now_ms=NOW)
    assert len(ring(client, 30_000)) == 2_345
