"""Limits that make no sense are refused; how a key starts that Redis does not know."""

from datetime import UTC, datetime, timedelta

import pytest

from app.errors import Misconfigured
from routing.rate_limits.limits import KeyLimits, LimitPolicy, Window, name_pool
from routing.rate_limits.registration import PriorUse, Start, decide_start

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1e6)
LIMITS = KeyLimits("aa", 250, (Window(165, 30_000),), 500_000)
COLD_MS = 30_000 + 2_000 + 75 + 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"key_id": "no:colons"},
        {"key_id": ""},
        {"spacing_ms": -1},
        {"windows": (Window(0, 1_000),)},
        {"windows": (Window(5, 1_000), Window(6, 1_000))},
        {"windows": (Window(100_001, 1_000),)},
        {"windows": (Window(1, 367 * 86_400_000),)},
        {"daily_limit": 0},
        {"reset_hour": 24},
    ],
)
def test_impossible_limits_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Misconfigured):
        KeyLimits(**({"key_id": "aa"} | wrong))  # type: ignore[arg-type]  # wrong on purpose


def test_the_largest_window_is_allowed_and_a_larger_one_says_what_to_do() -> None:
    KeyLimits("aa", 0, (Window(100_000, 1_000),))
    with pytest.raises(Misconfigured, match=r"at most 100,000 calls\. Name a shorter one"):
        KeyLimits("aa", 0, (Window(3_000_000, 1_000),))


def test_a_pool_is_named_by_its_keys_in_any_order() -> None:
    assert name_pool("p", ["a", "b"]) == name_pool("p", ["b", "a", "a"])
    assert name_pool("p", ["a"]).redis_key != name_pool("p", ["a", "b"]).redis_key


@pytest.mark.parametrize(
    ("last_used_at", "last_here_ms", "cold_ms"),
    [
        (None, 0, None),
        (NOW - timedelta(minutes=5), 0, None),
        (NOW - timedelta(seconds=10), 0, COLD_MS),
        # The ledger may lag: a minute past the window still counts as use within it.
        (NOW - timedelta(seconds=80), 0, COLD_MS),
        (None, int(NOW.timestamp() * 1e3) - 5_000, COLD_MS),
    ],
)
def test_a_key_starts_with_a_full_window_behind_it_unless_it_was_not_used(
    last_used_at: datetime | None, last_here_ms: int, cold_ms: int | None
) -> None:
    start = decide_start(LIMITS, PriorUse(last_used_at, 7), LimitPolicy(), NOW_US, last_here_ms)
    assert start == Start(cold_ms, 7)


def test_an_unlimited_key_has_nothing_to_wait_for() -> None:
    start = decide_start(KeyLimits("aa"), PriorUse(NOW, 7), LimitPolicy(), NOW_US)
    assert start == Start(None, 7)
