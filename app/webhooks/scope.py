"""The transactions that deliveries run in: a tenant's, in which the jobs that hold its endpoints' chunks can be seen.

Everywhere else row-level security hides these jobs, so that no list, count or export has to leave them out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import Connection

from app.db.scope import tenant_scope

_SHOW = "SELECT set_config('laneway.system_jobs', 'on', true)"


@contextmanager
def delivery_scope(tenant_id: UUID) -> Iterator[Connection]:
    """Open a transaction that sees the rows of one tenant, and the system's jobs among them."""
    with tenant_scope(tenant_id) as connection:
        connection.exec_driver_sql(_SHOW)
        yield connection
