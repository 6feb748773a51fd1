"""The providers' keys as they stand, stored ones and those that live workers carry: limits, owner, whether they are in force."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from app.clients.clients import ClientRow
from app.errors import NotFound
from app.settings import get_settings

_ALL = text("SELECT * FROM keys_overview(NULL, :presence)")
#: NULL: the platform's.
_OF = text("SELECT * FROM keys_overview(ARRAY[CAST(:tenant AS uuid)], :presence)")
_ONE = text("""
    SELECT o.* FROM key_secret(:key) k CROSS JOIN LATERAL keys_overview(ARRAY[k.tenant_id], :presence) o WHERE o.id = :key
""")


@dataclass(frozen=True)
class KeyFacts:
    """A key without its secret. `id` is None for one of a live worker's environment (`source`).

    `in_force` tells whether a worker would use it: for its client, or as a platform key for clients that have none. One of an
    environment is where its worker consumes the client's lane in force.
    """

    id: UUID | None
    tenant_id: UUID | None
    tenant_slug: str | None
    provider: str
    fingerprint: str
    hint: str
    spacing_ms: int
    requests_per_window: int | None
    window_seconds: int
    extra_windows: tuple[tuple[int, int], ...]
    daily_limit: int | None
    reset_hour: int
    is_enabled: bool
    in_force: bool
    notes: str | None
    used_today: int
    last_used_at: datetime | None
    source: str

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """All its windows, (calls, seconds) each."""
        first = (
            ((self.requests_per_window, self.window_seconds),) if self.requests_per_window else ()
        )
        return (*first, *self.extra_windows)


def list_keys(connection: Connection) -> list[KeyFacts]:
    """Return every key, the platform's first, then by client: the stored ones and those of live workers' environments."""
    return [_facts(row) for row in connection.execute(_ALL, _presence())]


def key_facts(connection: Connection, key_id: UUID) -> KeyFacts:
    """Return what is known of a stored key. Raises `NotFound`."""
    row = connection.execute(_ONE, {"key": key_id, **_presence()}).one_or_none()
    if row is None:
        raise no_such_key()
    return _facts(row)


def keys_of(connection: Connection, tenant_id: UUID | None) -> list[KeyFacts]:
    """Return the keys of a tenant, or of the platform (None), enabled or not, in force or not."""
    return [_facts(row) for row in connection.execute(_OF, {"tenant": tenant_id, **_presence()})]


def _presence() -> dict[str, float]:
    """Return within which time a worker must have been seen for the keys that it carries to count."""
    return {"presence": get_settings().presence_timeout_seconds}


def client_keys(connection: Connection, client: ClientRow) -> list[KeyFacts]:
    """Return a client's own keys, enabled or not, in force or not."""
    return keys_of(connection, client.id)


def serving_keys(
    connection: Connection, client: ClientRow, provider: str | None = None
) -> list[KeyFacts]:
    """Return a provider's keys that serve a client now, by its policy: its own in force, else the platform's if it may.

    `provider` None: the usual one that verifies its rows; lists may name another one.
    """
    wanted = provider or get_settings().verification_provider

    def serving(keys: list[KeyFacts]) -> list[KeyFacts]:
        return [key for key in keys if key.in_force and key.provider == wanted]

    own = serving(client_keys(connection, client))
    if own or client.key_policy == "own":
        return own
    return serving(keys_of(connection, None))


def no_such_key() -> NotFound:
    """Return what is said of an id that no stored key has."""
    return NotFound("There is no such stored key; `keys list` shows them with their ids.")


def _facts(row: Row[Any]) -> KeyFacts:
    fields: dict[str, Any] = {name: getattr(row, name) for name in _FIELDS}
    extra = tuple((window["requests"], window["seconds"]) for window in row.extra_windows)
    return KeyFacts(**fields | {"extra_windows": extra, "in_force": bool(row.in_force)})


_FIELDS = tuple(KeyFacts.__dataclass_fields__)
