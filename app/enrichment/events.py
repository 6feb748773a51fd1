"""Every call from outside that was proved, kept as it came: once, however often it is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, Row, text

#: Calls that are kept of one request. An honest vendor makes a few; who got hold of its address may not fill the disk.
MOST_PER_REQUEST = 50

State = Literal["matched", "late", "unknown", "duplicate"]

_KEEP = text("""
    INSERT INTO lookup_events (tenant_id, provider, request, sender_key, event, state, job_id, body)
    VALUES (laneway_tenant(), :provider, :request, :sender_key, :event, :state, :job_id, :body)
    ON CONFLICT (tenant_id, provider, sender_key) WHERE state <> 'duplicate' DO NOTHING
    RETURNING id
""")
_REPEATED = text("""
    INSERT INTO lookup_events (tenant_id, provider, request, sender_key, event, state, job_id, item_nos)
    SELECT tenant_id, provider, request, sender_key, event, 'duplicate', job_id, item_nos FROM lookup_events
    WHERE tenant_id = laneway_tenant() AND provider IS NOT DISTINCT FROM :provider AND sender_key = :sender_key
      AND state <> 'duplicate'
""")
_COUNT = text("SELECT count(*) FROM lookup_events WHERE request = :request")
_STRAY = text("SELECT keep_stray_event(:provider, :sender_key, :event, :body)")
_OF_REQUEST = text("""
    SELECT id, body FROM lookup_events WHERE request = :request AND state <> 'duplicate' AND body IS NOT NULL ORDER BY id
""")
#: What was matched once stays so; leads are added to those that it answered before.
_MATCH = text("""
    UPDATE lookup_events SET state = CASE WHEN state = 'matched' THEN state ELSE :state END, job_id = coalesce(job_id, :job),
        item_nos = ARRAY(SELECT DISTINCT n FROM unnest(item_nos || CAST(:items AS integer[])) AS n ORDER BY n)
    WHERE id = :id
""")
_LIST = text("""
    SELECT id, provider, event, state, job_id, item_nos, received_at FROM lookup_events
    WHERE tenant_id = laneway_tenant() AND (CAST(:before AS bigint) IS NULL OR id < :before)
      AND (CAST(:state AS text) IS NULL OR state = :state) AND (CAST(:job AS uuid) IS NULL OR job_id = :job)
    ORDER BY id DESC LIMIT :n
""")
_STRAYS = text("SELECT * FROM stray_events(:before, :n)")
_FORGET = text("SELECT forget_late_answers(:days)")


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was proved. `sender_key` makes its repetition known; `provider` None: the generic form."""

    provider: str | None
    sender_key: str
    body: bytes
    request: UUID | None = None
    event: str | None = None
    job_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class EventRow:
    """A call as people see it; what it said is in the attempts of its items."""

    id: int
    provider: str | None
    event: str | None
    state: State
    job_id: UUID | None
    item_nos: list[int]
    received_at: datetime


def keep_event(connection: Connection, call: Call, state: State = "unknown") -> int | None:
    """Keep a call of the scope's tenant; return its id, None for one that was kept before (which is noted)."""
    values = {
        "provider": call.provider,
        "request": call.request,
        "sender_key": call.sender_key,
        "event": call.event,
        "state": state,
        "job_id": call.job_id,
        "body": call.body,
    }
    event_id: int | None = connection.execute(_KEEP, values).scalar_one_or_none()
    if event_id is None:
        connection.execute(_REPEATED, {"provider": call.provider, "sender_key": call.sender_key})
    return event_id


def is_flooded(connection: Connection, request: UUID) -> bool:
    """Tell whether so many calls came for a request that no further one is kept, after the request was locked."""
    n: int = connection.execute(_COUNT, {"request": request}).scalar_one()
    return n >= MOST_PER_REQUEST


def keep_stray(connection: Connection, call: Call) -> State:
    """Keep a call of which nobody can tell whose it is; needs no tenant's scope."""
    state: State = connection.execute(
        _STRAY,
        {
            "provider": call.provider,
            "sender_key": call.sender_key,
            "event": call.event,
            "body": call.body,
        },
    ).scalar_one()
    return state


def bodies_of(connection: Connection, request: UUID) -> list[tuple[int, bytes]]:
    """Return (id, body) of what came for a request, in the order in which it came."""
    rows = connection.execute(_OF_REQUEST, {"request": request})
    return [(row.id, bytes(row.body)) for row in rows]


def match_event(
    connection: Connection, event_id: int, state: State, job_id: UUID, items: Sequence[int]
) -> None:
    """Note what a call was about."""
    values = {"id": event_id, "state": state, "job": job_id, "items": list(items)}
    connection.execute(_MATCH, values)


def list_events(
    connection: Connection,
    *,
    limit: int,
    before: int | None = None,
    state: str | None = None,
    job_id: UUID | None = None,
) -> list[EventRow]:
    """Return up to `limit` calls of the scope's tenant, the newest first, those before `before`."""
    values = {"before": before, "n": limit, "state": state, "job": job_id}
    return [_row(row) for row in connection.execute(_LIST, values)]


def list_strays(connection: Connection, *, limit: int, before: int | None = None) -> list[EventRow]:
    """Return calls of which nobody can tell whose they are; for operators."""
    return [_row(row) for row in connection.execute(_STRAYS, {"before": before, "n": limit})]


def forget_old(connection: Connection, days: float) -> int:
    """Remove what is older than `days`, waits included; return how many rows."""
    return int(connection.execute(_FORGET, {"days": days}).scalar_one())


def _row(row: Row[tuple[object, ...]]) -> EventRow:
    return EventRow(**row._mapping)
