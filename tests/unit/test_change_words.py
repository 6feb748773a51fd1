"""What was changed is told in words, not in names of columns."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.clients.change_words import event_in_words
from app.clients.rows import AuditRow, LaneChange

KEY = {"key": "0190d3a8", "hint": "z789", "provider": "mailtester"}


def event(action: str, **values: Any) -> AuditRow:
    plain: dict[str, Any] = {"from_queue": None, "to_queue": None, "chunks_moved": None}
    at = datetime(2026, 11, 22, tzinfo=UTC)
    plain |= {"tenant_id": None, "tenant_slug": "acme", "details": {}} | values
    return AuditRow(id=1, at=at, actor="ann@example.com", action=action, **plain)


@pytest.mark.parametrize(
    ("action", "details", "said"),
    [
        ("key.changed", {**KEY, "is_enabled": [True, False]}, "Key …z789: switched off"),
        ("key.changed", {**KEY, "is_enabled": [False, True]}, "Key …z789: switched on"),
        (
            "key.changed",
            {**KEY, "daily_limit": [500000, None]},
            "Key …z789: calls a day 500,000 → none",
        ),
        (
            "key.changed",
            {**KEY, "extra_windows": [[], [{"requests": 1000, "seconds": 3600}]]},
            "Key …z789: further windows none → 1000 in 3600 s",
        ),
        (
            "client.changed",
            {"weight": [1, 2], "key_policy": ["own", "platform"]},
            "Settings: weight 1 → 2, keys that serve it only its own → only the platform's",
        ),
        (
            "client.changed",
            {"fallback_after_seconds": [60, None]},
            "Settings: seconds without a worker before it falls back 60 → none",
        ),
        (
            "lane.notes",
            {"queue": "q", "notes": [None, "Acme"]},
            "Lane q: notes none → Acme",
        ),
        ("lane.removed", {"queue": "q", "was_active": False}, "Lane q removed; it was not in use"),
        ("key.added", KEY, "Key …z789 added"),
        (
            "key.tested",
            {**KEY, "ok": False, "outcome": "daily_quota", "ms": None},
            "Key …z789 tested: did not pass, daily quota, no call was made",
        ),
        ("key.reset", {**KEY, "state": None}, "Key …z789 reset; it was not in use"),
        ("fallback.ended", {"queue": "q"}, "Fall-back from q ended"),
        ("keys.reencrypted", {"keys": 1}, "1 stored secret encrypted anew"),
        ("client.created", {"person": "ann@example.com"}, "Client made, with ann@example.com"),
        ("what.a.later.version.does", {}, "what.a.later.version.does"),
    ],
)
def test_an_event_is_told_in_words(action: str, details: dict[str, Any], said: str) -> None:
    assert event_in_words(event(action, details=details)) == said


def test_a_move_tells_what_waited() -> None:
    moved = event("lane.changed", from_queue="a", to_queue="b", chunks_moved=1)
    assert event_in_words(moved) == "Lane a → b, 1 waiting chunk moved"
    assert event_in_words(event("lane.changed", from_queue="a", to_queue="b")) == "Lane a → b"


@pytest.mark.parametrize(
    ("moved", "running", "said"),
    [
        (0, 0, "nothing waited, nothing runs"),
        (1, 1, "1 waiting chunk moved, 1 running chunk finishes where it is"),
        (1200, 2, "1,200 waiting chunks moved, 2 running chunks finish where they are"),
    ],
)
def test_a_change_of_lanes_tells_of_waiting_and_running_work(
    moved: int, running: int, said: str
) -> None:
    assert LaneChange("a", "b", moved, running).work_words == said
