"""What Redis knows of keys and pools: registration, loss of state, edits, keys in several pools."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Timer

import pytest
import redis

from routing.rate_limits import (
    KeyLimits,
    Limiter,
    PoolRef,
    PriorUse,
    Window,
    name_pool,
    prepare_pool,
)
from routing.rate_limits.limits import Move

DAY_MS = 86_400_000
NOW = 20_000 * DAY_MS + 3_600_000
KEY = KeyLimits("aa", 125, (Window(5, 30_000),), 100)


class Usage:
    """A ledger in memory."""

    def __init__(self, **prior: PriorUse) -> None:
        self.prior = prior
        self.asked: list[str] = []

    def begin_use(self, fingerprint: str) -> PriorUse:
        self.asked.append(fingerprint)
        return self.prior.get(fingerprint, PriorUse(None, 0))


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def limiter(redis_url: str) -> Iterator[Limiter]:
    limiter = Limiter.connect(redis_url)
    yield limiter
    limiter.close()


def register(limiter: Limiter, *keys: KeyLimits, name: str = "p", now_ms: int = NOW) -> PoolRef:
    pool = name_pool(name, [key.key_id for key in keys])
    for key in keys:
        limiter.register(key, now_ms=now_ms)
    assert limiter.define_pool(pool) == []
    return pool


def times(limiter: Limiter, pool: PoolRef, n: int, now_ms: int) -> list[int]:
    return [slot.at_ms - NOW for slot in limiter.reserve(pool, n, now_ms=now_ms).slots]


def test_slots_stand_a_spacing_apart_up_to_the_horizon(limiter: Limiter) -> None:
    pool = register(limiter, KeyLimits("aa", 700))
    answer = limiter.reserve(pool, 9, now_ms=NOW)
    assert [slot.at_ms - NOW for slot in answer.slots] == [0, 703, 1406]
    assert (answer.not_before_ms - NOW, answer.reason) == (2109, "spacing")
    assert [slot.seq for slot in answer.slots] == [1, 2, 3]


def test_what_is_denied_consumes_nothing(limiter: Limiter) -> None:
    pool = register(limiter, KEY)
    assert times(limiter, pool, 9, NOW) == [0, 128, 256, 384, 512]
    for _ in range(3):
        denied = limiter.reserve(pool, 9, now_ms=NOW + 600)
        assert (denied.slots, denied.not_before_ms, denied.reason) == ((), NOW + 30_075, "window")
    assert limiter.describe(["aa"], now_ms=NOW)["aa"].used_today == 5


def test_a_day_is_used_up_and_begins_anew_at_the_reset_hour(limiter: Limiter) -> None:
    pool = register(limiter, KeyLimits("aa", daily_limit=3, reset_hour=5))
    denied = limiter.reserve(pool, 9, now_ms=NOW)
    assert len(denied.slots) == 3
    assert (denied.not_before_ms, denied.reason) == (NOW + 4 * 3_600_000 + 75, "daily_quota")
    assert len(limiter.reserve(pool, 9, now_ms=denied.not_before_ms).slots) == 3


def test_an_unlimited_key_grants_all_at_once(limiter: Limiter) -> None:
    pool = register(limiter, KeyLimits("aa"))
    answer = limiter.reserve(pool, 64, now_ms=NOW)
    assert [(slot.at_ms, slot.calls) for slot in answer.slots] == [(NOW, 64)]
    assert limiter.describe(["aa"], now_ms=NOW)["aa"].used_today == 64


def test_a_lost_state_is_noticed_and_starts_cold(limiter: Limiter, client: redis.Redis) -> None:
    pool = prepare_pool(limiter, "p", [KEY], Usage())
    assert len(limiter.reserve(pool, 9).slots) == 5
    client.flushdb()
    lost = limiter.reserve(pool, 9)
    assert (lost.slots, lost.reason, lost.unregistered) == ((), "pool_unknown", ("aa",))
    usage = Usage(aa=PriorUse(datetime.now(UTC), 5))
    assert prepare_pool(limiter, "p", [KEY], usage) == pool
    cold = limiter.reserve(pool, 9)
    assert (cold.slots, cold.reason) == ((), "window")
    assert cold.not_before_ms - cold.now_us / 1e3 == pytest.approx(32_078, abs=2_000)
    assert limiter.describe(["aa"])["aa"].used_today == 5
    warm = limiter.reserve(pool, 9, now_ms=cold.not_before_ms)
    assert len(warm.slots) == 5


def test_a_single_lost_key_is_named_and_the_others_serve(
    limiter: Limiter, client: redis.Redis
) -> None:
    pool = register(limiter, KEY, KeyLimits("bb"))
    client.delete("{rl}:key:aa")
    answer = limiter.reserve(pool, 3, now_ms=NOW)
    assert answer.unregistered == ("aa",)
    assert sum(slot.calls for slot in answer.slots) == 3


def test_a_key_that_was_long_unused_starts_fresh_with_its_count(limiter: Limiter) -> None:
    usage = Usage(aa=PriorUse(datetime.now(UTC) - timedelta(minutes=10), 98))
    pool = prepare_pool(limiter, "p", [KEY], usage)
    answer = limiter.reserve(pool, 9)
    assert (len(answer.slots), answer.reason) == (2, "daily_quota")


def test_the_second_of_two_that_meet_a_new_key_lets_the_first_register_it(limiter: Limiter) -> None:
    began = datetime.now(UTC)
    first = Timer(0.05, lambda: limiter.register(KEY))
    first.start()
    prepare_pool(limiter, "p", [KEY], Usage(aa=PriorUse(began, 0)))
    first.join()
    assert limiter.describe(["aa"])["aa"].cold_until_ms == 0


def test_a_known_key_is_not_asked_about_again(limiter: Limiter) -> None:
    usage = Usage()
    prepare_pool(limiter, "p", [KEY], usage)
    prepare_pool(limiter, "q", [KEY, KeyLimits("bb")], usage)
    assert usage.asked == ["aa", "bb"]


def test_of_many_registrations_at_once_one_counts(limiter: Limiter) -> None:
    def register_or_not(number: int) -> bool:
        return limiter.register(KEY, cold_ms=None if number % 2 else 50_000, used_today=number)

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(register_or_not, range(32)))
    assert won.count(True) == 1
    assert limiter.describe(["aa"])["aa"].used_today == won.index(True)


def test_registering_again_changes_nothing(limiter: Limiter) -> None:
    pool = register(limiter, KEY)
    before = times(limiter, pool, 2, NOW)
    register(limiter, KEY, now_ms=NOW + 1)
    assert before == [0, 128]
    assert times(limiter, pool, 1, NOW + 1) == [256]


def test_an_edit_takes_effect_at_the_next_reservation(limiter: Limiter) -> None:
    pool = register(limiter, KeyLimits("aa", 1_000))
    assert times(limiter, pool, 2, NOW) == [0, 1003]
    limiter.edit([KeyLimits("aa", 100)], now_ms=NOW)
    assert times(limiter, pool, 2, NOW) == [1106, 1209]


def test_an_older_edit_is_not_taken(limiter: Limiter) -> None:
    pool = register(limiter, KeyLimits("aa", 100, version=7))
    limiter.edit([KeyLimits("aa", 1, version=6)], now_ms=NOW)
    assert times(limiter, pool, 2, NOW) == [0, 103]


def test_a_window_that_is_new_to_a_key_counts_what_was_granted_before(limiter: Limiter) -> None:
    pool = register(limiter, KEY)
    assert len(times(limiter, pool, 5, NOW)) == 5
    limiter.edit([KeyLimits("aa", 125, (Window(7, 60_000),))], now_ms=NOW + 40_000)
    answer = limiter.reserve(pool, 9, now_ms=NOW + 40_000)
    assert [slot.at_ms - NOW for slot in answer.slots] == [40_000, 40_128]
    assert answer.not_before_ms == NOW + 60_075


def test_a_key_whose_past_is_not_known_fills_a_new_window(limiter: Limiter) -> None:
    limiter.register(KEY, cold_ms=30_000, now_ms=NOW)
    pool = name_pool("p", ["aa"])
    limiter.define_pool(pool)
    limiter.edit([KeyLimits("aa", 125, (Window(7, 3_600_000),))], now_ms=NOW)
    assert limiter.reserve(pool, 1, now_ms=NOW).not_before_ms == NOW + 3_600_075


def test_a_key_in_two_pools_keeps_its_limits(limiter: Limiter) -> None:
    slow, fast = KeyLimits("aa", 250), KeyLimits("bb", 125)
    one = register(limiter, slow, name="one")
    both = register(limiter, slow, fast, name="both")
    assert times(limiter, one, 3, NOW) == [0, 253, 506]
    # This pool's score of the slow key is too low by now: it is found out, not believed.
    answer = limiter.reserve(both, 3, now_ms=NOW)
    assert [(slot.key_id, slot.at_ms - NOW) for slot in answer.slots] == [
        ("bb", 0),
        ("bb", 128),
        ("bb", 256),
    ]


def test_a_key_that_is_free_earlier_again_is_found_in_every_pool(limiter: Limiter) -> None:
    pools = [register(limiter, KEY, name=name) for name in ("one", "two")]
    limiter.unauthorized("aa", now_ms=NOW)
    for pool in pools:
        assert limiter.reserve(pool, now_ms=NOW).reason == "circuit_open"
    limiter.reset("aa", now_ms=NOW)
    assert [times(limiter, pool, 1, NOW) for pool in pools] == [[0], [128]]


def move(limiter: Limiter, seq: int, *, calls: int, shift_ms: int) -> bool:
    return limiter.postpone([Move("aa", seq, calls, shift_ms)])[0]


def test_the_latest_grants_can_be_moved_until_another_follows(limiter: Limiter) -> None:
    pool = register(limiter, KEY)
    assert times(limiter, pool, 3, NOW) == [0, 128, 256]
    assert move(limiter, 3, calls=2, shift_ms=60)
    assert times(limiter, pool, 1, NOW + 40) == [444]
    assert not move(limiter, 3, calls=1, shift_ms=20)
    assert move(limiter, 4, calls=4, shift_ms=1_000)
    assert times(limiter, pool, 1, NOW + 90) == [1572]
    assert limiter.reserve(pool, 9, now_ms=NOW + 90).not_before_ms == NOW + 31_075


def test_a_grant_is_not_moved_into_another_day(limiter: Limiter) -> None:
    pool = register(limiter, KeyLimits("aa", daily_limit=9))
    late = NOW + DAY_MS - 3_600_000 - 1_000
    assert len(limiter.reserve(pool, 1, now_ms=late).slots) == 1
    assert not move(limiter, 1, calls=1, shift_ms=950)
    assert move(limiter, 1, calls=1, shift_ms=900)


def reserve_as(limiter: Limiter, pool: PoolRef, holder: str, n: int, at: int) -> list[int]:
    answer = limiter.reserve(pool, n, horizon_ms=1_000, holder=holder, now_ms=NOW + at)
    return [slot.at_ms - NOW for slot in answer.slots]


def test_a_key_stays_with_its_holder_for_a_run(limiter: Limiter) -> None:
    pool = register(limiter, KeyLimits("aa", 250))
    assert reserve_as(limiter, pool, "one", 3, 0) == [0, 252, 504], "with the smaller margin"
    answer = limiter.reserve(pool, 1, horizon_ms=1_000, holder="two", now_ms=NOW + 100)
    assert (answer.slots, answer.reason, answer.not_before_ms) == ((), "held", NOW + 757)
    assert reserve_as(limiter, pool, "one", 1, 300) == [756]
    assert reserve_as(limiter, pool, "two", 1, 500) == [1009], "the run is over; the whole margin"
    assert reserve_as(limiter, pool, "one", 1, 600) == []


def test_what_a_holder_leaves_is_taken_by_another(limiter: Limiter) -> None:
    pool = register(limiter, KeyLimits("aa", 250))
    assert reserve_as(limiter, pool, "one", 1, 0) == [0]
    assert reserve_as(limiter, pool, "two", 1, 5) == [253]


def test_a_held_key_hides_no_other(limiter: Limiter) -> None:
    alone = register(limiter, KeyLimits("aa", 250), name="alone")
    both = register(limiter, KeyLimits("aa", 250), KeyLimits("bb", 600), name="both")
    assert reserve_as(limiter, alone, "one", 2, 0) == [0, 252]
    assert reserve_as(limiter, both, "two", 3, 10) == [10, 612]


def test_a_pool_without_keys_has_none(limiter: Limiter) -> None:
    pool = name_pool("p", [])
    assert limiter.define_pool(pool) == []
    assert limiter.reserve(pool).reason == "pool_unknown"
