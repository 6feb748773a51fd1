"""Idempotency keys: the same request sent twice makes one job.

A key belongs to a tenant and a route. It is claimed before the request is read, so that a second one in the meantime is
told so; the claim is renewed while the request is under way and falls to the next comer a minute after its last sign
of life, so a crash blocks nobody for long. The claim is settled in the transaction that makes the job. A settled key
answers for a day (draft-ietf-httpapi-idempotency-key-header, sections 2.2 to 2.7).
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from app.errors import Conflict, InvalidInput

STALE_SECONDS = 60
RENEW_SECONDS = 15
MAX_LENGTH = 255

_FORGET = text("""
    DELETE FROM idempotency_keys WHERE tenant_id = laneway_tenant() AND created_at < clock_timestamp() - interval '1 day'
""")
_CLAIM = text("""
    INSERT INTO idempotency_keys AS k (tenant_id, route, key, created_at)
    VALUES (laneway_tenant(), :route, :key, clock_timestamp())
    ON CONFLICT (tenant_id, route, key) DO UPDATE SET created_at = excluded.created_at
    WHERE k.job_id IS NULL AND k.created_at < clock_timestamp() - make_interval(secs => :stale)
    RETURNING created_at
""")
_FIND = text(
    "SELECT job_id, request_hash FROM idempotency_keys WHERE route = :route AND key = :key"
)
_MINE = "WHERE route = :route AND key = :key AND created_at = :token AND job_id IS NULL"
_RENEW = text(f"""
    UPDATE idempotency_keys SET created_at = clock_timestamp() {_MINE} RETURNING created_at
""")  # noqa: S608 - constants only
_SETTLE = text(f"UPDATE idempotency_keys SET job_id = :job, request_hash = :hash {_MINE}")  # noqa: S608 - constants only
_ABANDON = text(f"DELETE FROM idempotency_keys {_MINE}")  # noqa: S608 - constants only


class KeyReused(InvalidInput):
    """The key was used for another request."""

    code = "idempotency_key_reused"
    title = "The key belongs to another request"


class InFlight(Conflict):
    """The first request with this key is still under way."""

    code = "request_in_flight"
    title = "The same request is under way"


@dataclass
class Claim:
    """This request's hold on a key. `token` is when it last showed life; `job_id` is set when it was settled before."""

    route: str
    key: str
    token: datetime | None
    job_id: UUID | None = None
    request_hash: str | None = None

    def check(self, request_hash: str) -> UUID | None:
        """Return the job that this very request made before, None for a new one. Raises `KeyReused`."""
        if self.job_id is not None and self.request_hash != request_hash:
            raise KeyReused("This Idempotency-Key was used for another request. Choose a new one.")
        return self.job_id


def claim(connection: Connection, route: str, key: str) -> Claim:
    """Claim a key, or find what it made. Raises `InvalidInput`, or `InFlight` while another request holds it."""
    if not key.isprintable() or not 0 < len(key) <= MAX_LENGTH:
        raise InvalidInput(f"An Idempotency-Key has 1 to {MAX_LENGTH} printable characters.")
    connection.execute(_FORGET)
    name = {"route": route, "key": key}
    token = connection.execute(_CLAIM, {**name, "stale": STALE_SECONDS}).scalar_one_or_none()
    if token is not None:
        return Claim(route, key, token)
    found = connection.execute(_FIND, name).one_or_none()
    if found is None or found.job_id is None:
        raise InFlight(
            "The first request with this Idempotency-Key is still under way; ask again in a moment.",
            retry_after=5,
        )
    return Claim(route, key, None, found.job_id, found.request_hash)


def _values(held: Claim) -> dict[str, object]:
    return {"route": held.route, "key": held.key, "token": held.token}


def renew(connection: Connection, held: Claim) -> None:
    """Show life. A claim that was lost stays lost; `settle` will say so."""
    token = connection.execute(_RENEW, _values(held)).scalar_one_or_none()
    held.token = token or held.token


def settle(connection: Connection, held: Claim, request_hash: str, job_id: UUID) -> None:
    """Bind the key to the job, in the job's transaction. Raises `InFlight` when another request took it over."""
    values = {**_values(held), "job": job_id, "hash": request_hash}
    if connection.execute(_SETTLE, values).rowcount != 1:
        raise InFlight(
            "Another request with this Idempotency-Key took over; ask again in a moment.",
            retry_after=5,
        )


def abandon(connection: Connection, held: Claim) -> None:
    """Give the key back: the request made nothing."""
    if held.token is not None:
        connection.execute(_ABANDON, _values(held))
