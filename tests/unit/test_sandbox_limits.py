"""The sandbox's meter against a plain model, and how it reads its configuration."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.limits import DAY_MS, KeyConfig, Meter

WINDOWS = ((3, 100), (5, 400))
SPACING_MS = 20


@given(st.lists(st.integers(0, 60), max_size=80))
def test_what_is_let_in_never_breaks_a_limit_and_nothing_else_is_refused(gaps: list[int]) -> None:
    meter = Meter(KeyConfig("k", SPACING_MS, WINDOWS))
    now, let_in = 1_000.0, list[float]()
    for gap in gaps:
        now += gap
        fits = (not let_in or now - let_in[-1] >= SPACING_MS) and all(
            sum(1 for past in let_in if past > now - length) < calls for calls, length in WINDOWS
        )
        assert (meter.arrive(now, now) is None) == fits
        if fits:
            let_in.append(now)


def test_a_day_ends_at_midnight_utc() -> None:
    meter = Meter(KeyConfig("k", daily_limit=2))
    end = 10 * DAY_MS - 1_000.0
    assert meter.arrive(0, end) is None
    assert meter.arrive(1, end) is None
    violation = meter.arrive(2, end)
    assert violation is not None
    assert (violation.reason, violation.early_ms) == ("daily", 1_000.0)
    assert meter.arrive(3, end + 1_000) is None


def test_a_violation_says_how_early_it_was() -> None:
    meter = Meter(KeyConfig("k", spacing_ms=250))
    assert meter.arrive(0, 0) is None
    violation = meter.arrive(240, 240)
    assert violation is not None
    assert (violation.reason, violation.early_ms) == ("spacing", 10)


def test_a_key_alone_is_unlimited() -> None:
    meter = Meter(KeyConfig.parse({"key": "free"}))
    assert all(meter.arrive(0, 0) is None for _ in range(1_000))


@pytest.mark.parametrize(
    "fields", [{}, {"key": ""}, {"key": "k", "spacing": 1}, {"key": "k", "windows": [[0, 5]]}]
)
def test_a_key_that_makes_no_sense_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError)):
        KeyConfig.parse(fields)


def test_what_is_left_is_told_for_every_window() -> None:
    meter = Meter(KeyConfig("k", windows=((2, 60_000), (5, 3_600_000)), daily_limit=6))
    assert meter.left(0) == {60_000: 2, 3_600_000: 5, DAY_MS: 6}
    assert meter.arrive(0, 0) is None
    assert meter.arrive(1, 1) is None
    assert meter.left(1) == {60_000: 0, 3_600_000: 3, DAY_MS: 4}
    assert meter.arrive(2, 2) is not None
    assert meter.left(60_001) == {60_000: 2, 3_600_000: 3, DAY_MS: 4}


def test_a_plan_is_spent_by_what_was_charged() -> None:
    meter = Meter(KeyConfig.parse({"key": "k", "quota": 2}))
    assert not meter.is_spent
    meter.charged += 2
    assert meter.is_spent
    assert not Meter(KeyConfig("k")).is_spent
