"""The lanes as operators see them: what waits, what runs, who serves it, how fast. One source for the API, the pages,
the metrics and `celery queues`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from redis.exceptions import RedisError
from sqlalchemy import Connection, Row, text

_LANES = text("SELECT * FROM lanes_overview(:presence)")
_OWN = text("SELECT queue FROM lane_routes()")
_KINDS = text("SELECT kind, per_tenant FROM chunk_kinds")
_KEYS = text("""
    SELECT tenant_slug, spacing_ms, requests_per_window, window_seconds, source FROM keys_overview() WHERE is_enabled
""")
_RATES = text("""
    SELECT q.queue, sum(w.rows_per_second / cardinality(w.queues)) AS rate
    FROM workers w CROSS JOIN unnest(w.queues) AS q(queue)
    WHERE w.last_seen > clock_timestamp() - make_interval(secs => :presence) GROUP BY q.queue
""")


class QueueLengths(Protocol):
    """What is needed of a Redis client."""

    def llen(self, name: str) -> Any:
        """Return the length of a list."""


@dataclass(frozen=True)
class LaneRow:
    """A lane. `messages` is None while Redis does not answer; `oldest_seconds` is the age of the oldest waiting chunk;
    rates are rows (calls) a second; `keys` counts the keys that the lane's clients may use.
    """

    queue: str
    kind: str
    tenants: list[str]
    dedicated: bool
    messages: int | None
    ready: int
    deferred: int
    released: int
    running: int
    oldest_seconds: float | None
    workers: int
    slots: int
    rate_per_second: float | None
    keys: int
    keys_per_second: float | None
    held_until: datetime | None
    held_reason: str | None


def lane_overview(
    connection: Connection, redis: QueueLengths | None, *, presence_seconds: float = 15.0
) -> list[LaneRow]:
    """Return every lane, by queue. Needs no tenant's scope; `redis` None or silent leaves `messages` open."""
    presence = {"presence": presence_seconds}
    rows = connection.execute(_LANES, presence).all()
    own = set(connection.execute(_OWN).scalars())
    uses_keys = {row.kind for row in connection.execute(_KINDS) if row.per_tenant}
    keys = connection.execute(_KEYS).all()
    rates = {row.queue: float(row.rate) for row in connection.execute(_RATES, presence)}
    lengths = _lengths(redis, {row.queue for row in rows})
    return [
        _lane(row, own, rates, lengths, _keys_of(row, keys) if row.kind in uses_keys else [])
        for row in rows
    ]


def _lane(
    row: Row[Any],
    own: set[str],
    rates: dict[str, float],
    lengths: dict[str, int | None],
    keys: list[Row[Any]],
) -> LaneRow:
    rate = rates.get(row.queue)
    return LaneRow(
        queue=row.queue,
        kind=row.kind,
        tenants=list(row.tenants or ()),
        dedicated=row.queue in own,
        messages=lengths[row.queue],
        ready=row.ready,
        deferred=row.deferred,
        released=row.released,
        running=row.running,
        oldest_seconds=None if row.oldest_seconds is None else round(row.oldest_seconds, 1),
        workers=row.workers,
        slots=row.slots,
        rate_per_second=None if rate is None else round(rate, 1),
        keys=len(keys),
        keys_per_second=key_rate(keys),
        held_until=row.held_until,
        held_reason=row.held_reason,
    )


def _lengths(redis: QueueLengths | None, queues: Iterable[str]) -> dict[str, int | None]:
    lengths: dict[str, int | None] = dict.fromkeys(queues)
    if redis is None:
        return lengths
    try:
        for queue in lengths:
            lengths[queue] = int(redis.llen(queue))
    except (RedisError, OSError):
        return dict.fromkeys(lengths)
    return lengths


def _keys_of(row: Row[Any], keys: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Return the keys that serve a lane's clients.

    For each its worker's own, else its stored ones; the platform's where one has none (or no client is named).
    """
    slugs = set(row.tenants or ())
    carried = {key.tenant_slug for key in keys if key.source == "environment"}
    chosen = [
        key
        for key in keys
        if key.tenant_slug in slugs
        and (key.source == "environment" or key.tenant_slug not in carried)
    ]
    if not slugs or slugs - {key.tenant_slug for key in chosen}:
        chosen += [key for key in keys if key.tenant_slug is None]
    return chosen


def key_rate(keys: Iterable[Any]) -> float | None:
    """Return the calls a second that the keys allow together; None when one of them is unlimited or there is none."""
    total = 0.0
    for key in keys:
        bounds = [1000 / key.spacing_ms] if key.spacing_ms else []
        if key.requests_per_window:
            bounds.append(key.requests_per_window / key.window_seconds)
        if not bounds:
            return None
        total += min(bounds)
    return round(total, 2) or None
