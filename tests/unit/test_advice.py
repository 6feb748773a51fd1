"""The arithmetic of advice: workers wanted, what keys feed, time until a lane is empty."""

import math
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.advice import Assumptions, Load, advise, drain_seconds
from app.jobs.lane_keys import DAY_SECONDS, LaneKeys, together

#: One slot: ten calls at once, two seconds each: 5 a second. A worker of four slots, half of them busy: 10 a second.
GIVEN = Assumptions(target_seconds=100, call_seconds=2, calls_a_slot=10, slots_a_worker=4)
NOW = datetime(2026, 1, 2, 18, 0, tzinfo=UTC)


def key(**values: Any) -> SimpleNamespace:
    plain = {"tenant_slug": "acme", "spacing_ms": 250, "requests_per_window": 165}
    plain |= {"window_seconds": 30, "extra_windows": [], "daily_limit": 500_000}
    return SimpleNamespace(**(plain | {"reset_hour": 0, "used_today": 0} | values))


def keys(per_second: float | None, count: int = 1) -> LaneKeys:
    return LaneKeys(count, per_second, math.inf, math.inf, DAY_SECONDS)


def load(rows: int = 1000, workers: int = 0, **values: Any) -> Load:
    plain = {"rate": 0.0, "running": 0, "slots": 4 * workers, "has_work": rows > 0}
    return Load(rows=rows, workers=workers, **(plain | values))


@pytest.mark.parametrize(
    ("limits", "per_second", "per_day"),
    [
        ({}, 4.0, 345_600),
        ({"spacing_ms": 125}, 5.5, 475_200),
        ({"extra_windows": [{"requests": 1000, "seconds": 3600}]}, 0.28, 24_000),
        ({"daily_limit": 1000}, 4.0, 1000),
        ({"spacing_ms": 0, "requests_per_window": None}, None, 500_000),
    ],
)
def test_the_tightest_limit_of_a_key_binds(
    limits: dict[str, Any], per_second: float | None, per_day: float
) -> None:
    found = together([key(**limits)], NOW)
    assert found.per_second == per_second
    assert found.per_day == pytest.approx(per_day)


def test_keys_add_up_and_one_without_limits_unbinds_all() -> None:
    assert together([key(), key(spacing_ms=125)], NOW).per_second == 9.5
    assert together([key(), key(spacing_ms=0, requests_per_window=None)], NOW).per_second is None
    assert together([], NOW).per_second is None


def test_a_day_turns_at_the_keys_own_hour() -> None:
    assert together([key(), key(reset_hour=20)], NOW).resets_in == 2 * 3600
    assert together([key(reset_hour=18)], NOW).resets_in == DAY_SECONDS


@pytest.mark.parametrize(
    ("rows", "per_second", "workers"),
    [
        (0, 20.0, 0),
        (1, 20.0, 1),
        (1000, 100.0, 1),
        (1001, 100.0, 2),
        (5000, 100.0, 5),
        (5000, 20.0, 2),  # the keys feed two
        (5000, 0.1, 1),
        (5000, None, 5),  # unlimited keys
    ],
)
def test_as_many_workers_as_the_backlog_wants_and_the_keys_feed(
    rows: int, per_second: float | None, workers: int
) -> None:
    assert advise(load(rows), keys(per_second), GIVEN).workers == workers


@given(
    rows=st.integers(0, 10**8),
    per_second=st.floats(0.01, 1e5),
    workers=st.integers(0, 50),
    rate=st.floats(0, 1e5),
    running=st.integers(0, 200),
)
def test_never_more_than_the_keys_feed_and_never_none_while_there_is_work(
    rows: int, per_second: float, workers: int, rate: float, running: int
) -> None:
    found = advise(load(rows, workers, rate=rate, running=running), keys(per_second), GIVEN)
    assert found.workers_fed is not None
    assert (rows > 0) <= found.workers <= found.workers_fed


def test_a_lane_whose_clients_fell_back_wants_a_worker_though_it_is_empty() -> None:
    found = advise(load(0, is_wanted=True), keys(4.0), GIVEN)
    assert (found.workers, found.text) == (1, "Start 1 worker.")


def test_without_a_key_no_number_of_workers_helps() -> None:
    found = advise(load(10**6, 1), keys(None, count=0), GIVEN)
    assert found.workers == 1
    assert "add one" in (found.text or "")


def test_more_slots_than_the_keys_can_feed_is_said() -> None:
    found = advise(load(100, 3), keys(4.0), GIVEN)
    assert (found.is_surplus, found.workers_fed, found.slots_fed) == (True, 1, 2)
    assert found.text == "More slots than the keys can feed: 1 worker would do."
    assert not advise(load(100, 1), keys(4.0), GIVEN).is_surplus


def test_where_the_keys_set_the_pace_it_is_said() -> None:
    found = advise(load(1000, 1), keys(4.0), GIVEN)
    assert found.is_bound_by_keys
    assert "another key is faster" in (found.text or "")


def test_a_busy_lane_far_from_its_keys_shows_what_a_call_takes() -> None:
    slow = load(
        3000, 1, rate=4.0, running=4
    )  # a row a second and slot: ten calls at once of ten seconds
    found = advise(slow, keys(100.0), GIVEN)
    assert (found.call_seconds, found.is_measured) == (10.0, True)
    assert found.workers == 15
    at_the_keys = advise(slow, keys(4.2), GIVEN)
    assert (at_the_keys.call_seconds, at_the_keys.is_measured) == (2.0, False)


def test_lanes_on_the_platforms_keys_share_them() -> None:
    one = keys(20.0).part(2)
    assert one.per_second == 10.0
    assert advise(load(5000), one, GIVEN).workers == 1


def test_a_lane_without_calls_wants_one_worker_while_it_has_work() -> None:
    assert advise(load(0, has_work=True), None, GIVEN).workers == 1
    assert advise(load(0), None, GIVEN).workers == 0


@pytest.mark.parametrize(
    ("rows", "rate", "seconds"),
    [
        (0, 1.0, None),
        (100, 2.0, 50.0),
        (100, 0.0, 25.0),  # nothing runs: the keys' pace
        (1000, 4.0, 250.0),  # all that is left of the day
        (1100, 4.0, 3600 + 25.0),  # the rest waits for the next day
        (3000, 4.0, 3600 + 500.0),  # exactly another day's calls
        (3100, 4.0, 3600 + DAY_SECONDS + 25.0),
    ],
)
def test_time_to_drain_knows_the_keys_days(rows: int, rate: float, seconds: float | None) -> None:
    day = LaneKeys(1, 4.0, left_today=1000, per_day=2000, resets_in=3600)
    assert drain_seconds(rows, rate, day) == seconds


def test_a_hold_comes_first_and_what_is_unknown_stays_so() -> None:
    assert drain_seconds(100, 0.0, keys(4.0), wait_seconds=60) == 85.0
    assert drain_seconds(100, 0.0, keys(None)) is None
    assert drain_seconds(100, 0.0, keys(None, count=0)) is None
    spent = LaneKeys(1, 4.0, left_today=0, per_day=0, resets_in=60)
    assert drain_seconds(100, 4.0, spent) is None
