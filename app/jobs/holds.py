"""Holds as operators are told of them: what a client waits for, since and until when, and what ends it.

Every view takes its words and its moments from here. A lane at its keys' pace is held for moments again and again; that is
its pace, and no hold to tell of.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, text

_HOLDS = text("SELECT *, clock_timestamp() AS at FROM client_holds(:tenants)")
#: What ends by itself with time that nobody can shorten, told only when it takes longer than this.
_PACE_SECONDS = 10.0
_ENDS_TO_THE_MINUTE = {"daily_quota", "circuit_open"}
#: Reason -> what is so; `{until}` is when the work goes on.
_TEXTS = {
    "daily_quota": "the keys' day is used up; goes on at {until}",
    "circuit_open": "the keys rest after errors; tried again at {until}",
    "no_keys": "no key may serve it",
}
_OTHER = "the keys' limits; next call at {until}"
#: What to do about a key, by the word that a test of it or a hold leaves.
REMEDIES = {
    "circuit_open": "When its cause is gone: keys reset {id}. By itself it is tried again within five minutes.",
    "daily_quota": "It goes on when its day begins anew. Sooner: keys edit {id} --daily-limit N, or keys add.",
    "spacing": "Nothing is wrong with it: workers use all that it gives.",
    "window": "Nothing is wrong with it: workers use all that it gives.",
    "held": "Nothing is wrong with it: workers use all that it gives.",
    "no_keys": "Add one: keys add --tenant {slug}. One is there? Is it enabled, and does the policy allow it?",
}


@dataclass(frozen=True)
class Hold:
    """Why nothing of a client is released, since when, and when it goes on (`resumes_at`). `remedy` says how it does sooner."""

    reason: str
    since: datetime
    until: datetime
    text: str
    remedy: str


@dataclass(frozen=True)
class HeldClient:
    """A client under a hold, and the lane that its work goes to."""

    tenant_id: UUID
    slug: str
    queue: str
    hold: Hold


def read_holds(connection: Connection, tenants: Sequence[UUID] | None = None) -> list[HeldClient]:
    """Return the holds to tell of, of these clients or of all (None), the first to end first. Needs no tenant's scope."""
    values = {"tenants": None if tenants is None else list(tenants)}
    return [
        HeldClient(
            row.tenant_id, row.slug, row.queue, describe(row.reason, row.since, row.until, row.slug)
        )
        for row in connection.execute(_HOLDS, values)
        if not _is_pace(row.reason, (row.until - row.at).total_seconds())
    ]


def _is_pace(reason: str, seconds: float) -> bool:
    return reason not in _TEXTS and seconds < _PACE_SECONDS


def describe(reason: str, since: datetime, until: datetime, slug: str) -> Hold:
    """Put a hold into words; `reason` is the limiter's, as `lane_holds` has it, `slug` the client's."""
    ends = resumes_at(reason, until)
    clock = "%H:%M" if reason in _ENDS_TO_THE_MINUTE else "%H:%M:%S"
    said = _TEXTS.get(reason, _OTHER).format(until=f"{ends:%Y-%m-%d {clock}} UTC")
    remedy = REMEDIES.get(reason, REMEDIES["held"]).format(id="ID", slug=slug)
    return Hold(reason, since.astimezone(UTC), ends, said, remedy)


def resumes_at(reason: str | None, until: datetime) -> datetime:
    """Return when a held client's keys are free, in UTC: the same moment wherever it is shown.

    A hold ends a second before, and its moment was carried from Redis' clock; so it is rounded up, to the full minute where
    days and rests end, else to the second.
    """
    return round_up(until, 60 if reason in _ENDS_TO_THE_MINUTE else 1)


def round_up(moment: datetime, seconds: int) -> datetime:
    """Return the moment, in UTC, at the next whole number of `seconds`."""
    whole = math.ceil(moment.timestamp() / seconds) * seconds
    return datetime.fromtimestamp(whole, UTC)
