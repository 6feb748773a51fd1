"""What `worker_configs` says: which clients have a lane of their own."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class ClientLane:
    """A client and its lane; `queue` is None while no active dedicated row exists."""

    tenant_id: UUID
    tenant_slug: str
    email: str | None
    queue: str | None


def load_routes(connection: Connection) -> dict[str, str]:
    """Return tenant id -> queue of every client with a lane of its own."""
    rows = connection.execute(text("SELECT tenant_id, queue FROM lane_routes()"))
    return {str(row.tenant_id): row.queue for row in rows}


def find_client(connection: Connection, client_id: UUID) -> ClientLane | None:
    """Return the client that a user's id (as the onboarding SQL uses it) or a tenant's id names."""
    row = connection.execute(
        text("SELECT tenant_id, tenant_slug, email, queue FROM client_lane(:client)"),
        {"client": client_id},
    ).one_or_none()
    if row is None:
        return None
    return ClientLane(row.tenant_id, row.tenant_slug, row.email, row.queue)
