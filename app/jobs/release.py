"""Release and recovery, over all tenants: what a dispatcher does.

These call the functions of the migrations' `release` and `ledger` files, which are owned by the schema's owner: the
role of the workers can trigger a release, and can still not read another tenant's rows.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class Released:
    """A chunk that was given a lane and now needs its wake-up message."""

    chunk_id: int
    fence: int
    queue: str
    tenant_id: UUID
    tenant_slug: str
    job_id: UUID
    kind: str


@dataclass(frozen=True)
class Recovered:
    """A chunk whose lease ran out, with what became of it: `ready`, `dead` or `cancelled`."""

    chunk_id: int
    job_id: UUID
    tenant_id: UUID
    status: str


@dataclass(frozen=True)
class Overdue:
    """A lane's chunks (id, fence) that were released long ago, oldest first, and how many are released in all."""

    queue: str
    released: int
    chunks: list[tuple[int, int]]


_RELEASE = text("SELECT * FROM ledger_release(:limit, :unattended, :presence, :ago)")
_UNATTENDED = text("SELECT * FROM ledger_unattended(:limit, :presence)")
_ATTENDED = text("""
    SELECT DISTINCT unnest(queues) FROM workers WHERE last_seen > clock_timestamp() - make_interval(secs => :presence)
""")
_RECOVER = text("SELECT * FROM ledger_recover(:attempts, :grace)")
_OVERDUE = text("SELECT queue, released, chunk_ids, fences FROM ledger_overdue(:seconds)")
_RECALL = text("SELECT ledger_recall(:chunks)")
_CLAIM = text("SELECT claim_duty(:name, :holder, :seconds)")
_LEAVE = text("SELECT leave_duty(:name, :holder)")
_TEND = text("SELECT tend_lanes(:presence)")
_ADD_USAGE = text("SELECT add_lane_usage(CAST(:rows AS jsonb))")
_FORGET_USAGE = text("SELECT forget_lane_usage()")
_NEXT_DUE = text("SELECT ledger_next_due(:ahead)")


def release(
    connection: Connection,
    *,
    limit: int,
    unattended_window: int,
    presence_seconds: float,
    asked_seconds_ago: float = 0.0,
) -> list[Released]:
    """Release at most `limit` chunks fairly; commit, then publish them in the order returned.

    What gave cause for it was seen `asked_seconds_ago`: where another release began since, or waits for its turn, that one
    has seen it or will, and this one gives nothing.
    """
    rows = connection.execute(
        _RELEASE,
        {
            "limit": limit,
            "unattended": unattended_window,
            "presence": presence_seconds,
            "ago": asked_seconds_ago,
        },
    )
    return [
        Released(r.chunk_id, r.fence, r.queue, r.tenant_id, r.tenant_slug, r.job_id, r.kind)
        for r in rows
    ]


def unattended(connection: Connection, limit: int, presence_seconds: float) -> list[Released]:
    """Return released chunks that wait in queues which no live worker serves, oldest first."""
    rows = connection.execute(_UNATTENDED, {"limit": limit, "presence": presence_seconds})
    return [
        Released(r.chunk_id, r.fence, r.queue, r.tenant_id, r.tenant_slug, r.job_id, r.kind)
        for r in rows
    ]


def attended(connection: Connection, presence_seconds: float) -> frozenset[str]:
    """Return the queues that a live worker serves."""
    return frozenset(connection.execute(_ATTENDED, {"presence": presence_seconds}).scalars())


def claim_duty(connection: Connection, name: str, holder: UUID, seconds: float) -> bool:
    """Take or keep a duty that one worker does for all; a holder that is silent for `seconds` has lost it."""
    return bool(
        connection.execute(
            _CLAIM, {"name": name, "holder": holder, "seconds": seconds}
        ).scalar_one()
    )


def leave_duty(connection: Connection, name: str, holder: UUID) -> None:
    """Lay a duty down, so that another worker takes it at its next look."""
    connection.execute(_LEAVE, {"name": name, "holder": holder})


def recover(
    connection: Connection, max_attempts: int, *, grace_seconds: float = 0.0
) -> list[Recovered]:
    """End expired leases; a chunk whose worker died `max_attempts` times in a row is dead.

    Nothing is ended within `grace_seconds` of PostgreSQL's own start: nobody could renew before.
    """
    rows = connection.execute(_RECOVER, {"attempts": max_attempts, "grace": grace_seconds})
    return [Recovered(r.chunk_id, r.job_id, r.tenant_id, r.status) for r in rows]


def overdue(connection: Connection, seconds: float) -> list[Overdue]:
    """Return the lanes with chunks that were released longer than `seconds` ago."""
    rows = connection.execute(_OVERDUE, {"seconds": seconds})
    return [
        Overdue(r.queue, r.released, list(zip(r.chunk_ids, r.fences, strict=True))) for r in rows
    ]


def recall(connection: Connection, chunk_ids: Sequence[int]) -> int:
    """Make released chunks ready again with a raised fence; return how many still were released."""
    if not chunk_ids:
        return 0
    return int(connection.execute(_RECALL, {"chunks": list(chunk_ids)}).scalar_one())


def tend_lanes(connection: Connection, presence_seconds: float) -> int:
    """Note lanes without a worker, and let clients fall back and come back; return how many changed lanes."""
    return int(connection.execute(_TEND, {"presence": presence_seconds}).scalar_one())


def add_usage(connection: Connection, rows: Mapping[tuple[str, UUID], int]) -> None:
    """Add rows done, by queue and client, to the minute that is running; a client that is gone is left out."""
    told = [
        {"queue": queue, "tenant_id": str(tenant), "rows": n} for (queue, tenant), n in rows.items()
    ]
    connection.execute(_ADD_USAGE, {"rows": json.dumps(told)})


def forget_usage(connection: Connection) -> int:
    """Remove the counts of more than a day ago; return how many rows."""
    return int(connection.execute(_FORGET_USAGE).scalar_one())


def next_due(connection: Connection, ahead_seconds: float) -> float | None:
    """Return the seconds until deferred work falls due, None when nothing does within `ahead_seconds`."""
    found = connection.execute(_NEXT_DUE, {"ahead": ahead_seconds}).scalar_one()
    return None if found is None else float(found)
