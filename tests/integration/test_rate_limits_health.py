"""A key's health: 429s widen its spacing, errors open its circuit, one probe closes it."""

from collections.abc import Iterator

import pytest

from routing.rate_limits import KeyLimits, Limiter, LimitPolicy, PoolRef, name_pool

NOW = 20_000 * 86_400_000 + 3_600_000
OPEN = 300_000
LEASE = 60_000


@pytest.fixture
def limiter(redis_url: str) -> Iterator[Limiter]:
    limiter = Limiter.connect(redis_url, LimitPolicy(open_ms=OPEN, probe_lease_ms=LEASE))
    limiter.register(KeyLimits("aa", 100), now_ms=NOW)
    limiter.define_pool(name_pool("p", ["aa"]))
    yield limiter
    limiter.close()


POOL: PoolRef = name_pool("p", ["aa"])


def multiplier(limiter: Limiter) -> float:
    return limiter.describe(["aa"], now_ms=NOW)["aa"].spacing_multiplier


def state(limiter: Limiter) -> str:
    return limiter.describe(["aa"], now_ms=NOW)["aa"].state


def test_a_429_makes_the_key_wait_and_widens_its_spacing(limiter: Limiter) -> None:
    limiter.throttled("aa", 5_000, now_ms=NOW)
    denied = limiter.reserve(POOL, 2, now_ms=NOW)
    assert (denied.not_before_ms, denied.reason) == (NOW + 5_000, "spacing")
    answer = limiter.reserve(POOL, 2, now_ms=NOW + 5_000)
    assert [slot.at_ms - NOW for slot in answer.slots] == [5_000, 5_153]
    assert limiter.describe(["aa"], now_ms=NOW)["aa"].throttled_count == 1


def test_spacing_widens_to_eight_times_at_most_and_narrows_back(limiter: Limiter) -> None:
    for _ in range(9):
        limiter.throttled("aa", 0, now_ms=NOW)
    assert multiplier(limiter) == 8
    limiter.clean("aa", 99, now_ms=NOW)
    assert multiplier(limiter) == 8
    limiter.clean("aa", 1, now_ms=NOW)
    assert multiplier(limiter) == 6.4
    limiter.clean("aa", 1_000, now_ms=NOW)
    assert multiplier(limiter) == 1


def test_a_burst_that_was_under_way_widens_once(limiter: Limiter) -> None:
    for _ in range(5):
        limiter.throttled("aa", 0, granted_at_ms=NOW - 10, now_ms=NOW)
    assert multiplier(limiter) == 1.5
    limiter.throttled("aa", 0, granted_at_ms=NOW + 10, now_ms=NOW + 20)
    assert multiplier(limiter) == 2.25


def test_a_refused_key_is_out_at_once(limiter: Limiter) -> None:
    assert limiter.unauthorized("aa", "bad key", now_ms=NOW) == "open"
    denied = limiter.reserve(POOL, now_ms=NOW)
    assert (denied.not_before_ms, denied.reason) == (NOW + OPEN, "circuit_open")
    key = limiter.describe(["aa"], now_ms=NOW)["aa"]
    assert (key.state, key.why, key.since_ms) == ("open", "bad key", NOW)


def test_five_errors_within_a_minute_open_the_circuit(limiter: Limiter) -> None:
    for second in (0, 20, 40, 59):
        assert limiter.failed("aa", now_ms=NOW + second * 1_000) == "closed"
    # The first one is forgotten by now.
    assert limiter.failed("aa", now_ms=NOW + 60_000) == "closed"
    assert limiter.failed("aa", "HTTP 500", now_ms=NOW + 60_001) == "open"


def test_after_five_minutes_one_probe_goes_and_no_other(limiter: Limiter) -> None:
    limiter.unauthorized("aa", now_ms=NOW)
    probe = limiter.reserve(POOL, 9, now_ms=NOW + OPEN)
    assert [slot.at_ms - NOW for slot in probe.slots] == [OPEN]
    assert probe.reason == "circuit_open"
    assert state(limiter) == "half_open"
    assert limiter.reserve(POOL, 9, now_ms=NOW + OPEN + 5_000).slots == ()


def test_a_probe_that_succeeds_closes_the_circuit_for_all(limiter: Limiter) -> None:
    limiter.unauthorized("aa", now_ms=NOW)
    limiter.reserve(POOL, now_ms=NOW + OPEN)
    assert limiter.succeeded("aa", now_ms=NOW + OPEN + 300) == "closed"
    assert len(limiter.reserve(POOL, 5, now_ms=NOW + OPEN + 300).slots) == 5


def test_a_probe_that_fails_opens_it_again(limiter: Limiter) -> None:
    limiter.unauthorized("aa", now_ms=NOW)
    limiter.reserve(POOL, now_ms=NOW + OPEN)
    assert limiter.failed("aa", now_ms=NOW + OPEN + 300) == "open"
    assert limiter.reserve(POOL, now_ms=NOW + OPEN + 300).not_before_ms == NOW + 2 * OPEN + 300


def test_a_probe_whose_holder_died_does_not_block_for_ever(limiter: Limiter) -> None:
    limiter.unauthorized("aa", now_ms=NOW)
    limiter.reserve(POOL, now_ms=NOW + OPEN)
    # Its answer may come at any moment, so the others ask again long before its lease is over.
    waiting = limiter.reserve(POOL, now_ms=NOW + OPEN + 1)
    assert NOW + OPEN + 1 < waiting.not_before_ms < NOW + OPEN + 10_000
    assert limiter.reserve(POOL, horizon_ms=0, now_ms=NOW + OPEN + LEASE - 1).slots == ()
    again = limiter.reserve(POOL, 9, now_ms=NOW + OPEN + LEASE)
    assert len(again.slots) == 1


def test_a_throttled_probe_is_no_verdict(limiter: Limiter) -> None:
    limiter.unauthorized("aa", now_ms=NOW)
    limiter.reserve(POOL, now_ms=NOW + OPEN)
    assert limiter.throttled("aa", 5_000, now_ms=NOW + OPEN + 300) == "half_open"
    assert len(limiter.reserve(POOL, 9, now_ms=NOW + OPEN + 5_300).slots) == 1


def test_calls_that_were_under_way_do_not_touch_an_open_circuit(limiter: Limiter) -> None:
    limiter.unauthorized("aa", "first", now_ms=NOW)
    assert limiter.clean("aa", 3, now_ms=NOW + 10) == "open"
    assert limiter.failed("aa", "second", now_ms=NOW + 20) == "open"
    assert limiter.describe(["aa"], now_ms=NOW)["aa"].why == "first"
    assert limiter.reserve(POOL, now_ms=NOW + 30).not_before_ms == NOW + OPEN


def test_a_circuit_is_closed_by_hand(limiter: Limiter) -> None:
    limiter.unauthorized("aa", now_ms=NOW)
    assert limiter.reset("aa", now_ms=NOW + 1) == "closed"
    assert len(limiter.reserve(POOL, now_ms=NOW + 1).slots) == 1


def test_a_pool_goes_on_with_its_healthy_keys(limiter: Limiter) -> None:
    limiter.register(KeyLimits("bb", 100), now_ms=NOW)
    pool = name_pool("both", ["aa", "bb"])
    limiter.define_pool(pool)
    limiter.unauthorized("aa", now_ms=NOW)
    assert {slot.key_id for slot in limiter.reserve(pool, 5, now_ms=NOW).slots} == {"bb"}


def test_a_report_on_an_unknown_key_is_passed_over(limiter: Limiter) -> None:
    assert limiter.failed("ff") == ""
    assert limiter.describe(["ff"]) == {}
