"""How the pages write figures, and where a sign-in may lead."""

from typing import Any

import pytest

from app.console.formats import duration, percent, rate, segments, share
from app.console.sign_in import safe_next
from app.console.words import verdicts_of, who


@pytest.mark.parametrize(
    ("done", "total", "said"),
    [(0, 0, "0%"), (0, 10, "0%"), (999_999, 1_000_000, "99%"), (10, 10, "100%")],
)
def test_all_is_said_only_when_nothing_is_left(done: int, total: int, said: str) -> None:
    assert percent(done, total) == said


def test_a_small_share_is_not_called_nothing() -> None:
    assert [share(0, 1_000), share(1, 1_000), share(500, 1_000)] == ["0%", "<1%", "50%"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (3_599, "59 min"),
        (7_800, "2 h 10 min"),
        (90_000, "1 d 1 h"),
        (None, "\N{EN DASH}"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


def test_a_slow_rate_is_said_by_the_minute() -> None:
    assert [rate(0), rate(0.4), rate(3.42), rate(1234.5)] == [
        "0 per second",
        "24 per minute",
        "3.4 per second",
        "1,234 per second",
    ]


def test_a_lane_is_cut_without_gaps() -> None:
    cut = segments({"valid": 1, "invalid": 1, "catch_all": 1, "unknown": 1}, 8)
    assert [piece for piece in cut if piece[2]] == [
        ("valid", 0.0, 125.0),
        ("invalid", 125.0, 125.0),
        ("catch_all", 250.0, 125.0),
        ("unknown", 375.0, 125.0),
    ]


def test_a_job_shows_the_verdicts_that_its_rows_may_get() -> None:
    assert list(verdicts_of({})) == ["valid", "invalid", "catch_all", "unknown"]
    assert list(verdicts_of({"wanted": []})) == ["found", "partial", "not_found", "unknown"]
    both = verdicts_of({"wanted": [], "then": "verify"})
    assert list(both) == ["valid", "invalid", "catch_all", "partial", "not_found", "unknown"]


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (["Ann", "Smith", "Acme"], "Ann Smith, Acme"),
        (["", "", "Acme"], "Acme"),
        (["Ann"], "Ann"),
        ({"full_name": "Ann Smith", "domain": "acme.example"}, "Ann Smith, acme.example"),
        ({"linkedin_url": "https://linkedin.com/in/ann"}, "https://linkedin.com/in/ann"),
        ({}, ""),
        (None, ""),
    ],
)
def test_a_lead_is_called_by_what_is_known_of_it(known: Any, said: str) -> None:
    assert who(known, {"first_name": 0, "last_name": 1, "company": 2}) == said


@pytest.mark.parametrize(
    "target",
    [
        "",
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:x",
        "/a\nb",
        "x",
        "//[",
    ],
)
def test_a_sign_in_leads_nowhere_else(target: str) -> None:
    assert safe_next(target, "/home") == "/home"


def test_a_sign_in_leads_back_to_the_page_asked_for() -> None:
    assert safe_next("/jobs/1?q=a%2Fb#x", "/home") == "/jobs/1?q=a%2Fb#x"
