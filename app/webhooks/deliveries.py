"""What a worker asks and tells the database about one endpoint's deliveries.

Functions of migration 0016 do the work; each call is one transaction of the caller's. What an attempt came to is written
with the lease in hand, or not at all: then another worker has the endpoint, and sends again with the same webhook-id.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from app.jobs.lease import Lease

Ended = Literal["done", "later", "more", "lost"]
#: Deliveries that are asked for at once.
BATCH = 100


@dataclass(frozen=True)
class Target:
    """The endpoint of a run. `failures` in a row so far; secrets are encrypted, None where the client's own sign."""

    id: UUID
    url: str
    is_enabled: bool
    failures: int
    not_before: datetime | None
    secret: bytes | None
    previous: bytes | None


@dataclass(frozen=True)
class Due:
    """A delivery to be tried now. `attempts` were made before; `body` is the same text each time."""

    id: int
    message_id: str
    body: str
    attempts: int


@dataclass(frozen=True)
class Outcome:
    """What one attempt came to. `wait` seconds until the next, for a status of `pending`."""

    id: int
    number: int
    status: str
    wait: float | None
    at: str
    url: str
    headers: dict[str, str]
    answer_status: int | None
    answer: str
    ms: int
    error: str | None
    gone: bool = False


@dataclass(frozen=True)
class Recorded:
    """`held` False: the chunk is another's, nothing was written. `is_enabled`: whether the endpoint may be sent to further."""

    held: bool
    is_enabled: bool


_TARGET = text("""
    SELECT e.id, e.url, e.is_enabled AND e.deleted_at IS NULL AS is_enabled, e.failures, e.of_jobs,
        CASE WHEN e.not_before > clock_timestamp() THEN e.not_before END AS not_before,
        CASE WHEN e.of_jobs THEN s.secret_encrypted ELSE e.secret_encrypted END AS secret,
        CASE WHEN e.of_jobs AND s.previous_until > clock_timestamp() THEN s.previous_encrypted
             WHEN NOT e.of_jobs AND e.previous_until > clock_timestamp() THEN e.previous_encrypted END AS previous
    FROM webhook_endpoints e LEFT JOIN webhook_secrets s ON s.tenant_id = e.tenant_id WHERE e.job_id = :job
""")
#: The moment in a subquery, so that it can bound the index scan.
_DUE = text("""
    SELECT d.id, v.message_id, CAST(v.payload AS text) AS body, d.attempts
    FROM webhook_deliveries d JOIN webhook_events v ON v.id = d.event_id
    WHERE d.endpoint_id = :endpoint AND d.status = 'pending' AND d.next_at <= (SELECT clock_timestamp())
      AND d.id <> ALL (CAST(:flying AS bigint[])) AND (d.type = 'endpoint.test' OR EXISTS (
          SELECT 1 FROM webhook_endpoints e WHERE e.id = :endpoint AND e.is_enabled AND e.deleted_at IS NULL))
    ORDER BY d.next_at, d.id LIMIT :limit
""")
#: In the driver's own words: it is said several times a second for each endpoint.
_RECORD = "SELECT held, is_enabled FROM webhook_record(%s, %s, %s, %s, CAST(%s AS json), %s, %s)"
_END = text("SELECT webhook_end(:chunk, :fence, :endpoint, :must_leave)")


def target_of(connection: Connection, lease: Lease) -> Target | None:
    """Return the endpoint that a chunk delivers to; None: it was removed."""
    row = connection.execute(_TARGET, {"job": lease.job_id}).one_or_none()
    if row is None:
        return None
    return Target(
        id=row.id,
        url=row.url,
        is_enabled=row.is_enabled,
        failures=row.failures,
        not_before=row.not_before,
        secret=row.secret,
        previous=row.previous,
    )


def due(connection: Connection, target: Target, *, flying: Sequence[int]) -> list[Due]:
    """Return the first deliveries that are due, without those under way; to an endpoint that is off only tests."""
    values = {"endpoint": target.id, "flying": list(flying), "limit": BATCH}
    return [
        Due(row.id, row.message_id, row.body, row.attempts)
        for row in connection.execute(_DUE, values)
    ]


def record(
    connection: Connection,
    lease: Lease,
    target: Target,
    outcomes: Sequence[Outcome],
    *,
    seconds: float,
    pause: float | None,
    disable_after_seconds: float,
) -> Recorded:
    """Record outcomes once each and renew the lease for `seconds`; without outcomes it only renews."""
    told: str | None = json.dumps([vars(outcome) for outcome in outcomes]) if outcomes else None
    values: tuple[Any, ...] = (
        lease.chunk_id,
        lease.fence,
        seconds,
        target.id,
        told,
        pause,
        disable_after_seconds,
    )
    row = connection.exec_driver_sql(_RECORD, values).one()
    return Recorded(held=row.held, is_enabled=bool(row.is_enabled))


def end(connection: Connection, lease: Lease, target: Target, *, must_leave: bool) -> Ended:
    """Let go of the chunk; `more` says that something is due now and it was kept."""
    values = {
        "chunk": lease.chunk_id,
        "fence": lease.fence,
        "endpoint": target.id,
        "must_leave": must_leave,
    }
    ended: Ended = connection.execute(_END, values).scalar_one()
    return ended
