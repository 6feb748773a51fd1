"""The header Idempotency-Key around a request: held while it is worked on, given back when it fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from app.db.scope import tenant_scope
from app.jobs import idempotency

log = structlog.get_logger(__name__)


@contextmanager
def claimed(tenant_id: UUID, route: str, key: str | None) -> Iterator[idempotency.Claim | None]:
    """Hold the key while the block runs; give it back when the block fails. No key: no claim."""
    if key is None:
        yield None
        return
    with tenant_scope(tenant_id) as connection:
        claim = idempotency.claim(connection, route, key)
    try:
        yield claim
    except BaseException:
        try:
            with tenant_scope(tenant_id) as connection:
                idempotency.abandon(connection, claim)
        except DBAPIError as error:
            log.warning("idempotency_key_not_given_back", error=type(error).__name__)
        raise
