"""How the pages write numbers, times and states; the Jinja filters.

`static/format.js` says the same for what a script updates in place. Nothing here reads the request or a database;
a missing value is an en dash everywhere.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from flask import Flask

from app.clients.change_words import event_in_words
from app.console.job_names import job_name
from app.console.words import FIELDS, PROVIDERS, VERDICTS, call_in_words, unit_of, verdicts_of, who
from app.plain_text import escaped

NOTHING = "\N{EN DASH}"

#: Status of a job -> (label, icon). The icons' shapes differ, so that colour is never the only sign.
STATUSES = {
    "scheduled": ("Scheduled", "clock"),
    "pending": ("Queued", "queued"),
    "processing": ("Running", "running"),
    "retrying": ("Retrying", "retry"),
    "waiting": ("Waiting", "clock"),
    "completed": ("Completed", "valid"),
    "failed": ("Failed", "invalid"),
    "cancelled": ("Cancelled", "cancelled"),
    "dead_letter": ("Given up", "alert"),
}

_STEPS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 0, ""))


def number(value: float | None) -> str:
    """Group thousands: 12,345."""
    return NOTHING if value is None else f"{value:,.0f}"


def percent(done: float, total: float) -> str:
    """Whole percent, rounded down: 100% is said only when nothing is left."""
    return f"{int(done * 100 // total)}%" if total else "0%"


def share(part: float, whole: float) -> str:
    """A part of a whole; what is there but under half a percent is not called nothing."""
    if not whole:
        return NOTHING
    value = part * 100 / whole
    return "<1%" if 0 < value < 0.5 else f"{value:.0f}%"


def duration(seconds: float | None) -> str:
    """Two units at most: 2 h 10 min, 3 min, 45 s."""
    if seconds is None:
        return NOTHING
    whole = max(0, round(seconds))
    for size, unit, next_size, next_unit in _STEPS:
        if whole >= size:
            rest = (whole % size) // next_size if next_size else 0
            return f"{whole // size} {unit}" + (f" {rest} {next_unit}" if rest else "")
    return f"{whole} s"


def rate(per_second: float | None, second: str = " per second", minute: str = " per minute") -> str:
    """3.4 per second; below one, by the minute."""
    if per_second is None:
        return NOTHING
    if 0 < per_second < 1:
        return f"{per_second * 60:.0f}{minute}"
    if per_second == 0:
        return f"0{second}"
    return f"{per_second:,.{0 if per_second >= 10 else 1}f}{second}"


def size(count: float) -> str:
    """Bytes: 200 MB, 1.5 GB."""
    for unit_bytes, unit in ((2**30, "GB"), (2**20, "MB"), (2**10, "kB")):
        if count >= unit_bytes:
            return f"{count / unit_bytes:.{0 if count >= 10 * unit_bytes else 1}f} {unit}"
    return f"{count:.0f} bytes"


def moment(value: datetime | str | None) -> datetime | None:
    """Read a time as the API writes it."""
    parsed = datetime.fromisoformat(value) if isinstance(value, str) else value
    return parsed.astimezone(UTC) if parsed else None


def iso(value: datetime | str | None) -> str:
    """For `<time datetime>`."""
    at = moment(value)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else ""


def utc(value: datetime | str | None) -> str:
    """21 Nov 2025, 21:42 UTC."""
    at = moment(value)
    return f"{at.day} {at:%b %Y, %H:%M} UTC" if at else NOTHING


def utc_seconds(value: datetime | str | None) -> str:
    """21 Nov 2025, 21:42:07 UTC."""
    at = moment(value)
    return f"{at.day} {at:%b %Y, %H:%M:%S} UTC" if at else NOTHING


def laid_out(value: object) -> str:
    """JSON over several lines, its fields in the order that they have; `tojson` would sort them."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def ago(value: datetime | str | None) -> str:
    """How long ago, in one unit; a date once it is more than a week."""
    at = moment(value)
    if at is None:
        return NOTHING
    seconds = (datetime.now(UTC) - at).total_seconds()
    if seconds > 7 * 86_400:
        return f"{at.day} {at:%b %Y}"
    if seconds < 10:
        return "just now"
    if seconds >= 86_400:
        days = int(seconds // 86_400)
        return "yesterday" if days == 1 else f"{days} days ago"
    return " ".join(duration(seconds).split(" ")[:2]) + " ago"


def until(value: datetime | str | None) -> str:
    """When something is free: now, in 12 s, or the moment itself when it is over an hour away."""
    at = moment(value)
    seconds = (at - datetime.now(UTC)).total_seconds() if at else 0
    if seconds < 1:
        return "now"
    return f"in {duration(seconds)}" if seconds < 3_600 else utc(at)


def between(start: datetime | str | None, end: datetime | str | None) -> float | None:
    """Seconds from one time to the other."""
    first, last = moment(start), moment(end)
    return (last - first).total_seconds() if first and last else None


def segments(counts: dict[str, int], total: int, done: int = 0) -> list[tuple[str, float, float]]:
    """Cut a lane of 1000 units into (verdict, x, width); what is done without a verdict, as of acts on jobs, is grey."""
    cut, x = [], 0.0
    other = {"unknown": max(0, done - sum(counts.values()))}
    for verdict in VERDICTS:
        n = counts.get(verdict, 0) + other.get(verdict, 0)
        width = 1000 * n / total if total else 0.0
        cut.append((verdict, round(x, 2), round(width, 2)))
        x += width
    return cut


def windows(found: Iterable[tuple[int, int]]) -> str:
    """Windows of calls in seconds as the forms take them: 1000 in 3600, 50 in 60."""
    return ", ".join(f"{calls} in {seconds}" for calls, seconds in found)


def register_filters(app: Flask) -> None:
    """Make the filters and the words known to Jinja."""
    filters = (
        number,
        percent,
        share,
        duration,
        rate,
        size,
        iso,
        utc,
        utc_seconds,
        laid_out,
        ago,
        until,
        between,
        segments,
        event_in_words,
        windows,
        verdicts_of,
        unit_of,
        call_in_words,
        escaped,
        who,
        job_name,
    )
    app.jinja_env.filters.update({filter_.__name__: filter_ for filter_ in filters})
    words: dict[str, Any] = {
        "VERDICTS": VERDICTS,
        "STATUSES": STATUSES,
        "PROVIDERS": PROVIDERS,
        "FIELDS": FIELDS,
    }
    app.jinja_env.globals.update(words)
