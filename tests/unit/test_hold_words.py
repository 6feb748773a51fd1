"""What is said of a hold: its moment is the same everywhere, and each reason has a remedy."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.jobs.holds import describe, resumes_at

MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize("early", [0.0, 0.4, 1.0, 1.3])
def test_a_day_begins_anew_at_its_hour_however_early_the_hold_ends(early: float) -> None:
    assert resumes_at("daily_quota", MIDNIGHT - timedelta(seconds=early)) == MIDNIGHT


def test_a_window_is_told_to_the_second() -> None:
    assert resumes_at("window", MIDNIGHT - timedelta(seconds=2.5)) == MIDNIGHT - timedelta(
        seconds=2
    )


def test_the_moment_is_in_utc() -> None:
    there = MIDNIGHT.astimezone(timezone(timedelta(hours=5)))
    assert f"{resumes_at('circuit_open', there):%H:%M}" == "00:00"


@pytest.mark.parametrize(
    ("reason", "text", "remedy"),
    [
        ("daily_quota", "day is used up; goes on at 2026-11-23 00:00 UTC", "--daily-limit"),
        ("circuit_open", "tried again at 2026-11-23 00:00 UTC", "keys reset ID"),
        ("no_keys", "no key may serve it", "keys add --tenant acme"),
        ("spacing", "next call at 2026-11-23 00:00:00 UTC", "Nothing is wrong"),
        ("what a later version says", "the keys' limits", "Nothing is wrong"),
    ],
)
def test_each_reason_has_words_and_a_remedy(reason: str, text: str, remedy: str) -> None:
    hold = describe(reason, MIDNIGHT - timedelta(hours=1), MIDNIGHT, "acme")
    assert text in hold.text
    assert remedy in hold.remedy
