"""The provider keys as operators see them: limits and use from the database, health and reservations from the limiter.

"Used today" is calls made, as workers wrote them down, in every view: what the provider will bill. The limiter counts a call
when it reserves it, and that is what the daily limit stops: "reserved today". It is ahead by what is under way, and stays
ahead by what was reserved and never made (a worker that died, a slot that came too late).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from sqlalchemy import Connection, Row, text

from app.errors import Unavailable
from app.jobs.key_problems import problems_of
from app.settings import get_settings
from routing.rate_limits.limits import KeyState

_ALL = text("SELECT * FROM keys_overview(NULL, :presence)")
_OF_CLIENT = text("SELECT * FROM keys_overview(ARRAY[CAST(:tenant AS uuid)], :presence)")
_ONE = text("""
    SELECT o.* FROM key_secret(:key) k CROSS JOIN LATERAL keys_overview(ARRAY[k.tenant_id], :presence) o WHERE o.id = :key
""")


class KeyStates(Protocol):
    """What is needed of the limiter."""

    def describe(self, key_ids: Sequence[str]) -> Mapping[str, KeyState]:
        """Tell how keys stand. Raises `Unavailable` while its Redis does not answer."""


@dataclass(frozen=True)
class KeyRow:
    """A key without its secret. `used_today` are calls made, `reserved_today` what the daily limit counts, None where the
    limiter does not know the key. `health` is "unknown" for a key that no worker has used yet, or without Redis.

    It is "unusable" for one whose limits can't be or whose secret can't be read, which every worker passes over; `why` says
    what is wrong.
    """

    #: None for a key of a worker's environment.
    id: UUID | None
    tenant: str | None
    provider: str
    hint: str
    spacing_ms: int
    requests_per_window: int | None
    window_seconds: int
    daily_limit: int | None
    enabled: bool
    used_today: int
    reserved_today: int | None
    health: Literal["closed", "open", "half_open", "unknown", "unusable"]
    since: datetime | None
    why: str | None
    next_free_at: datetime | None
    throttled_count: int
    spacing_multiplier: float
    #: "database", or "environment": carried by a live worker, and in force where that consumes its client's lane in force.
    source: str
    notes: str | None
    #: Further windows: [{"requests": 1000, "seconds": 3600}].
    extra_windows: list[dict[str, int]]
    #: The hour (UTC) at which the provider's day begins.
    reset_hour: int
    #: Whether a worker that serves the client now would use it.
    in_force: bool

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """All its windows, (calls, seconds) each."""
        first = (
            ()
            if self.requests_per_window is None
            else ((self.requests_per_window, self.window_seconds),)
        )
        # A number in JSON may be written 60.0.
        extra = ((int(w["requests"]), int(w["seconds"])) for w in self.extra_windows)
        return (*first, *extra)

    @property
    def is_ahead(self) -> bool:
        """Whether what is reserved says more about the day that is left than the calls made: by a hundredth of the limit."""
        if self.reserved_today is None or self.daily_limit is None:
            return False
        return self.reserved_today - self.used_today >= max(1, self.daily_limit // 100)


def key_overview(
    connection: Connection, limiter: KeyStates | None, tenant_id: UUID | None = None
) -> list[KeyRow]:
    """Return every key, the platform's first, or those of one client. Needs no tenant's scope."""
    presence = {"presence": get_settings().presence_timeout_seconds}
    if tenant_id is None:
        return _with_states(connection, connection.execute(_ALL, presence).all(), limiter)
    values = {"tenant": tenant_id, **presence}
    return _with_states(connection, connection.execute(_OF_CLIENT, values).all(), limiter)


def find_key(connection: Connection, limiter: KeyStates | None, key_id: UUID) -> KeyRow | None:
    """Return a stored key as it stands; None: there is no such key."""
    values = {"key": key_id, "presence": get_settings().presence_timeout_seconds}
    found = _with_states(connection, connection.execute(_ONE, values).all(), limiter)
    return found[0] if found else None


def _with_states(
    connection: Connection, rows: Sequence[Row[Any]], limiter: KeyStates | None
) -> list[KeyRow]:
    states: Mapping[str, KeyState] = {}
    if limiter is not None and rows:
        try:
            states = limiter.describe([row.fingerprint for row in rows])
        except Unavailable:
            states = {}
    keys = [_key(row, states.get(row.fingerprint)) for row in rows]
    problems = problems_of(connection, keys)
    return [
        _unusable(key, problems[key.id]) if key.id and key.id in problems else key for key in keys
    ]


def _unusable(key: KeyRow, problem: str) -> KeyRow:
    # What the limiter has is of before, when it could be used.
    return replace(key, health="unusable", why=problem, since=None, next_free_at=None)


def _moment(ms: int) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None


def _key(row: Row[Any], state: KeyState | None) -> KeyRow:
    return KeyRow(
        id=row.id,
        tenant=row.tenant_slug,
        provider=row.provider,
        hint=row.hint,
        spacing_ms=row.spacing_ms,
        requests_per_window=row.requests_per_window,
        window_seconds=row.window_seconds,
        daily_limit=row.daily_limit,
        enabled=row.is_enabled,
        used_today=row.used_today,
        reserved_today=state.used_today if state else None,
        health=state.state if state else "unknown",
        since=_moment(state.since_ms) if state else None,
        why=(state.why or None) if state else None,
        next_free_at=_moment(state.next_free_ms) if state else None,
        throttled_count=state.throttled_count if state else 0,
        spacing_multiplier=state.spacing_multiplier if state else 1.0,
        source=row.source,
        notes=row.notes,
        extra_windows=list(row.extra_windows),
        reset_hour=row.reset_hour,
        in_force=row.in_force,
    )
