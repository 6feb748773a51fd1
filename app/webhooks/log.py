"""The delivery log: what was sent where, what came of it, and sending it once more. Read inside a client's scope."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, text

from app.errors import Conflict, NotFound

DeliveryStatus = Literal["pending", "waiting", "delivered", "failed", "cancelled"]
#: Attempts that one delivery shows; each replay adds up to ten.
MAX_ATTEMPTS = 100


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one endpoint. `next_at` is set while an attempt is due or planned."""

    id: int
    message_id: str
    type: str
    job_id: UUID | None
    endpoint_id: UUID
    url: str
    status: DeliveryStatus
    attempts: int
    next_at: datetime | None
    answer_status: int | None
    error: str | None
    last_at: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class Attempt:
    """One request: its headers without the signature, and the beginning of the answer. `ms` until the answer's status.

    `number` counts on through replays; `replay` is 0 of the first sending, 1 of its first replay.
    """

    number: int
    replay: int
    at: datetime
    url: str
    headers: dict[str, str]
    answer_status: int | None
    answer: str | None
    ms: int
    error: str | None


@dataclass(frozen=True)
class Detail:
    """A delivery with the body that is sent, and its attempts, the newest first."""

    delivery: Delivery
    body: dict[str, Any]
    attempts: list[Attempt]


_SELECT = """
    SELECT d.id, v.message_id, d.type, d.job_id, d.endpoint_id, e.url, d.status, d.attempts, d.next_at, d.answer_status,
        d.error, d.last_at, d.created_at
    FROM webhook_deliveries d JOIN webhook_events v ON v.id = d.event_id JOIN webhook_endpoints e ON e.id = d.endpoint_id
"""
_LIST = text(f"""{_SELECT}
    WHERE d.tenant_id = laneway_tenant()
      AND (CAST(:after AS bigint) IS NULL OR d.id < :after)
      AND (CAST(:endpoint AS uuid) IS NULL OR d.endpoint_id = :endpoint)
      AND (CAST(:job AS uuid) IS NULL OR d.job_id = :job)
      AND (CAST(:status AS text) IS NULL OR d.status = :status)
      AND (CAST(:type AS text) IS NULL OR d.type = :type)
    ORDER BY d.id DESC LIMIT :n
""")
_GET = text(f"{_SELECT} WHERE d.id = :id")
_BODY = text("""
    SELECT v.payload FROM webhook_events v JOIN webhook_deliveries d ON d.event_id = v.id WHERE d.id = :id
""")
_ATTEMPTS = text("""
    SELECT row_number() OVER sent AS number, greatest(count(*) FILTER (WHERE number = 1) OVER sent - 1, 0) AS replay,
        at, url, headers, answer_status, answer, ms, error
    FROM webhook_attempts WHERE delivery_id = :id WINDOW sent AS (ORDER BY id) ORDER BY id DESC LIMIT :n
""")
_IS_ON = text("""
    SELECT e.is_enabled AND e.deleted_at IS NULL FROM webhook_endpoints e
    JOIN webhook_deliveries d ON d.endpoint_id = e.id WHERE d.id = :id
""")
_REPLAY = text("SELECT webhook_replay(:id)")


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(**row._mapping)


def list_deliveries(
    connection: Connection,
    *,
    limit: int,
    after: int | None = None,
    endpoint: UUID | None = None,
    job: UUID | None = None,
    status: DeliveryStatus | None = None,
    event: str | None = None,
) -> list[Delivery]:
    """Return up to `limit` deliveries, the newest first, those before `after`; each filter that is given holds."""
    values = {
        "n": limit,
        "after": after,
        "endpoint": endpoint,
        "job": job,
        "status": status,
        "type": event,
    }
    return [_delivery(row) for row in connection.execute(_LIST, values)]


def get_delivery(connection: Connection, delivery_id: int) -> Detail:
    """Return a delivery with its attempts. Raises `NotFound`, also for another client's."""
    row = connection.execute(_GET, {"id": delivery_id}).one_or_none()
    if row is None:
        raise NotFound("There is no such delivery; the log is kept for some weeks only.")
    attempts = connection.execute(_ATTEMPTS, {"id": delivery_id, "n": MAX_ATTEMPTS})
    return Detail(
        delivery=_delivery(row),
        body=connection.execute(_BODY, {"id": delivery_id}).scalar_one(),
        attempts=[Attempt(**attempt._mapping) for attempt in attempts],
    )


def replay(connection: Connection, delivery_id: int) -> Delivery:
    """Send a delivery once more, with the same id and body, whatever came since; return it.

    Raises `NotFound`, and `Conflict` while it is open, or its endpoint is off or removed.
    """
    detail = get_delivery(connection, delivery_id)
    if not connection.execute(_IS_ON, {"id": delivery_id}).scalar_one():
        raise Conflict("The endpoint is switched off or removed; switch it on first.")
    if not connection.execute(_REPLAY, {"id": delivery_id}).scalar_one():
        raise Conflict("This delivery is not over yet; it will be tried again by itself.")
    row = connection.execute(_GET, {"id": detail.delivery.id}).one()
    return _delivery(row)
