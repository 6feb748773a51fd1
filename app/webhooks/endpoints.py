"""A client's endpoints: where its events are sent, which, and whether that works. Read and changed inside its scope.

A secret is returned by the call that makes it and by no other. An endpoint that was removed leaves its log behind, without
its secrets, until the log's own time is over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import Connection, Row, text

from app.crypto import encrypt
from app.errors import Conflict, NotFound
from app.webhooks.signing import new_secret

EventType = Literal[
    "job.progress", "job.completed", "job.failed", "job.cancelled", "job.dead_letter"
]
EVENT_TYPES: tuple[EventType, ...] = (
    "job.progress",
    "job.completed",
    "job.failed",
    "job.cancelled",
    "job.dead_letter",
)
TEST_TYPE = "endpoint.test"
#: Of one client, those of its jobs aside.
MAX_ENDPOINTS = 50


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as people see it. `of_jobs`: it is the `webhook_url` of jobs, and the client's own secret signs."""

    id: UUID
    url: str
    description: str
    events: list[str]
    of_jobs: bool
    is_enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    failing_since: datetime | None
    failures: int
    not_before: datetime | None
    previous_until: datetime | None
    created_at: datetime
    created_by: str | None
    #: Deliveries that are not over.
    open: int


_SELECT = """
    SELECT e.id, e.url, e.description, e.events, e.of_jobs, e.is_enabled, e.disabled_at, e.disabled_reason, e.failing_since,
        e.failures, CASE WHEN e.not_before > clock_timestamp() THEN e.not_before END AS not_before,
        CASE WHEN e.previous_until > clock_timestamp() THEN e.previous_until END AS previous_until,
        e.created_at, u.email AS created_by,
        (SELECT count(*) FROM (
            SELECT 1 FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND d.status IN ('pending', 'waiting') LIMIT 1000
        ) o) AS open
    FROM webhook_endpoints e LEFT JOIN users u ON u.id = e.created_by
    WHERE e.deleted_at IS NULL
"""
_LIST = text(f"{_SELECT} ORDER BY e.of_jobs, e.created_at, e.id LIMIT 500")
_GET = text(f"{_SELECT} AND e.id = :id")
#: One at a time of a client: two requests at once must not both find that there is none yet. Until the transaction's end.
_LOCK = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('webhook endpoints of ' || laneway_tenant()::text, 0))"
)
_URLS = text("SELECT id, url FROM webhook_endpoints WHERE NOT of_jobs AND deleted_at IS NULL")
_SWITCHED_OFF = text("""
    SELECT count(*) FROM webhook_endpoints WHERE deleted_at IS NULL AND disabled_reason IN ('gone', 'failing')
""")
_ADD = text("""
    INSERT INTO webhook_endpoints (url, description, events, secret_encrypted, created_by)
    VALUES (:url, :description, :events, :secret, :created_by) RETURNING id
""")
_CHANGE = text("""
    UPDATE webhook_endpoints SET url = coalesce(:url, url), description = coalesce(:description, description),
        events = coalesce(:events, events)
    WHERE id = :id AND deleted_at IS NULL AND NOT of_jobs
""")
_ENABLE = text("""
    UPDATE webhook_endpoints SET is_enabled = true, disabled_at = NULL, disabled_reason = NULL, failing_since = NULL,
        failures = 0, not_before = NULL
    WHERE id = :id AND deleted_at IS NULL AND NOT is_enabled
""")
_DISABLE = text("SELECT webhook_disable(:id, 'person')")
_CANCEL = text("SELECT webhook_cancel(:id, 'The endpoint was removed.')")
_REMOVE = text("""
    UPDATE webhook_endpoints SET deleted_at = clock_timestamp(), is_enabled = false, secret_encrypted = NULL,
        previous_encrypted = NULL, previous_until = NULL
    WHERE id = :id AND deleted_at IS NULL
""")
_ROTATE = text("""
    UPDATE webhook_endpoints SET previous_encrypted = secret_encrypted, secret_encrypted = :secret,
        previous_until = clock_timestamp() + make_interval(secs => :seconds)
    WHERE id = :id AND deleted_at IS NULL AND NOT of_jobs
""")
_TEST = text("""
    INSERT INTO webhook_events (type, endpoint_id, payload)
    VALUES ('endpoint.test', :id, jsonb_build_object('type', 'endpoint.test',
        'timestamp', utc_text(clock_timestamp()),
        'data', jsonb_build_object('endpoint_id', CAST(:id AS uuid), 'message', 'A test: your endpoint is set up.')))
    RETURNING message_id
""")
_NOTIFY = text("SELECT pg_notify('laneway_webhooks', '')")


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(**{**row._mapping, "events": list(row.events)})


def list_endpoints(connection: Connection) -> list[Endpoint]:
    """Return the client's endpoints, those that people set up first; at most 500."""
    return [_endpoint(row) for row in connection.execute(_LIST)]


def get_endpoint(connection: Connection, endpoint_id: UUID) -> Endpoint:
    """Return an endpoint. Raises `NotFound`, also for another client's and for one that was removed."""
    row = connection.execute(_GET, {"id": endpoint_id}).one_or_none()
    if row is None:
        raise NotFound("There is no such endpoint.")
    return _endpoint(row)


def count_switched_off(connection: Connection) -> int:
    """Return how many endpoints of the client were switched off because they failed or wanted no more."""
    return int(connection.execute(_SWITCHED_OFF).scalar_one())


def add_endpoint(
    connection: Connection,
    *,
    url: str,
    events: Sequence[EventType],
    description: str = "",
    created_by: UUID | None = None,
) -> tuple[UUID, str]:
    """Add an endpoint for an address that was checked; return its id and its secret, the only time it is seen.

    Raises `Conflict` when the client has as many as it may have, or has one with this address.
    """
    if _refuse_second(connection, url) >= MAX_ENDPOINTS:
        raise Conflict(f"There are {MAX_ENDPOINTS} endpoints already; remove one first.")
    secret = new_secret()
    values = {
        "url": url,
        "description": description,
        "events": sorted(set(events)),
        "secret": encrypt(secret),
        "created_by": created_by,
    }
    endpoint_id: UUID = connection.execute(_ADD, values).scalar_one()
    return endpoint_id, secret


def change_endpoint(
    connection: Connection,
    endpoint_id: UUID,
    *,
    url: str | None = None,
    events: Sequence[EventType] | None = None,
    description: str | None = None,
) -> None:
    """Change what is given. Raises `NotFound`, and `Conflict` for the address of a job, which the job says, and for one that
    another endpoint has."""
    endpoint = _refuse_of_jobs(connection, endpoint_id, "is changed with the job")
    # Two with one address may be there from before: each can be changed and removed.
    if url is not None and url != endpoint.url:
        _refuse_second(connection, url, endpoint_id)
    values = {
        "id": endpoint_id,
        "url": url,
        "description": description,
        "events": None if events is None else sorted(set(events)),
    }
    connection.execute(_CHANGE, values)


def enable_endpoint(connection: Connection, endpoint_id: UUID) -> None:
    """Send again, from the next event on, as if nothing had failed before. Raises `NotFound`."""
    get_endpoint(connection, endpoint_id)
    connection.execute(_ENABLE, {"id": endpoint_id})


def disable_endpoint(connection: Connection, endpoint_id: UUID) -> None:
    """Send nothing more; what is open is cancelled and can be replayed. Raises `NotFound`."""
    get_endpoint(connection, endpoint_id)
    connection.execute(_DISABLE, {"id": endpoint_id})


def remove_endpoint(connection: Connection, endpoint_id: UUID) -> None:
    """Remove an endpoint and its secrets; its log stays. Raises `NotFound`."""
    get_endpoint(connection, endpoint_id)
    connection.execute(_REMOVE, {"id": endpoint_id})
    connection.execute(_CANCEL, {"id": endpoint_id})


def rotate_secret(connection: Connection, endpoint_id: UUID, *, overlap_seconds: float) -> str:
    """Make a new secret and return it, the only time it is seen; the one before signs as well for `overlap_seconds`.

    Raises `NotFound`, and `Conflict` for the address of a job.
    """
    _refuse_of_jobs(connection, endpoint_id, "is signed with the client's own secret; rotate that")
    secret = new_secret()
    values = {"id": endpoint_id, "secret": encrypt(secret), "seconds": overlap_seconds}
    connection.execute(_ROTATE, values)
    return secret


def send_test(connection: Connection, endpoint_id: UUID) -> str:
    """Have a test event sent to this endpoint, also to one that is off; return its id. Raises `NotFound`."""
    get_endpoint(connection, endpoint_id)
    message_id: str = connection.execute(_TEST, {"id": endpoint_id}).scalar_one()
    connection.execute(_NOTIFY)
    return message_id


def _refuse_second(connection: Connection, url: str, own: UUID | None = None) -> int:
    """Refuse the address of another endpoint of the client, which would get each event twice; return how many there are."""
    connection.execute(_LOCK)
    rows = connection.execute(_URLS).all()
    for row in rows:
        if row.id != own and _plain(row.url) == _plain(url):
            raise Conflict(
                "There is an endpoint with this address already; change its events instead of adding another.",
                endpoint_id=str(row.id),
            )
    return len(rows)


def _plain(url: str) -> tuple[str, str, int | None, str, str]:
    """Return what an address says, however it is spelt: capitals of the host, a port that goes without saying."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return (parts.scheme, (parts.hostname or "").rstrip("."), port, parts.path or "/", parts.query)


def _refuse_of_jobs(connection: Connection, endpoint_id: UUID, why: str) -> Endpoint:
    endpoint = get_endpoint(connection, endpoint_id)
    if endpoint.of_jobs:
        raise Conflict(f"This address is the webhook_url of a job: it {why}.")
    return endpoint
