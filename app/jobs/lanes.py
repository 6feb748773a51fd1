"""The lanes as operators see them: what waits, what runs, who serves it, how fast, what it wants. One source for the API,
the pages, the metrics and `celery queues`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from redis.exceptions import RedisError
from sqlalchemy import Connection, Row, text

from app.jobs.advice import Advice, Assumptions, Load, advise, drain_seconds
from app.jobs.holds import HeldClient, read_holds, resumes_at
from app.jobs.lane_keys import KeyBook, LaneKeys
from routing.queues import DEDICATED_PREFIX, VERIFICATION

_LANES = text("SELECT *, clock_timestamp() AS at FROM lanes_overview(:presence)")
_WATCH = text("SELECT * FROM lane_watch()")
_OWN = text("SELECT queue FROM lane_routes()")
_KINDS = text("SELECT kind, per_tenant FROM chunk_kinds")
#: The rate of a lane's live workers, and when the last of those that are gone was seen. Of a worker's queues only those of
#: verification have rows; among several it is taken as shared evenly.
_WORKERS = text("""
    SELECT q.queue, max(w.last_seen) FILTER (WHERE NOT w.is_live) AS left_at,
        sum(w.rows_per_second / (
            SELECT count(*) FROM unnest(w.queues) AS o(queue) WHERE o.queue = :shared OR starts_with(o.queue, :own)
        )) FILTER (WHERE w.is_live AND (q.queue = :shared OR starts_with(q.queue, :own))) AS rate
    FROM (SELECT *, last_seen > clock_timestamp() - make_interval(secs => :presence) AS is_live FROM workers) w
    CROSS JOIN unnest(w.queues) AS q(queue) GROUP BY q.queue
""")


#: When the platform's keys are spent, everybody on the shared lane is held, for the same reason.
MOST_HOLDS = 20


class QueueLengths(Protocol):
    """What is needed of a Redis client."""

    def llen(self, name: str) -> Any:
        """Return the length of a list."""


@dataclass(frozen=True)
class LaneRow:
    """A lane. `messages` is None while Redis does not answer; `oldest_seconds` is the age of the oldest waiting chunk;
    rates are rows (calls) a second; `keys` counts the keys that the lane's clients may use. `rows_left` have no answer
    yet (None: not known before a list is read); `drain_seconds` is how long they take as it goes, or would go with the
    keys' rate. `unattended_since`: work, and no live worker. `fallback_tenants` left it for the shared lane meanwhile.
    `held_until` and `held_reason` are the first hold of any client on it, also one of a moment; `held_tenants` counts those to
    tell of, and `holds` are the first of them to end, `MOST_HOLDS` at most.
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
    rows_left: int | None
    oldest_seconds: float | None
    drain_seconds: float | None
    workers: int
    slots: int
    rate_per_second: float | None
    keys: int
    keys_per_second: float | None
    held_until: datetime | None
    held_reason: str | None
    unattended_since: datetime | None
    unattended_seconds: float | None
    fallback_since: datetime | None
    fallback_tenants: list[str]
    held_tenants: int
    holds: list[HeldClient]
    advice: Advice

    @property
    def fallback_count(self) -> int:
        """How many clients left it for the shared lane."""
        return len(self.fallback_tenants)

    @property
    def has_work(self) -> bool:
        """Whether any chunk is open."""
        return bool(self.ready or self.deferred or self.released or self.running)


@dataclass(frozen=True)
class _Seen:
    """What stands beside a lane's own row; `keys` is None where the work makes no calls."""

    is_own: bool
    messages: int | None
    watch: Row[Any] | None
    rate: float | None
    left_at: datetime | None
    keys: LaneKeys | None
    holds: list[HeldClient]


def lane_overview(
    connection: Connection,
    redis: QueueLengths | None,
    *,
    presence_seconds: float = 15.0,
    assumptions: Assumptions | None = None,
) -> list[LaneRow]:
    """Return every lane, by queue. Needs no tenant's scope; `redis` None or silent leaves `messages` open."""
    presence = {"presence": presence_seconds}
    rows = connection.execute(_LANES, presence).all()
    watch = {row.queue: row for row in connection.execute(_WATCH)}
    own = set(connection.execute(_OWN).scalars())
    own |= {row.queue for row in watch.values() if row.fallback_since}
    per_tenant = {row.kind for row in connection.execute(_KINDS) if row.per_tenant}
    names = {"shared": VERIFICATION, "own": DEDICATED_PREFIX}
    workers = {row.queue: row for row in connection.execute(_WORKERS, presence | names)}
    book = KeyBook(connection, presence_seconds)
    lengths = _lengths(redis, {row.queue for row in rows})
    holds = read_holds(connection)
    seen = [
        _Seen(
            is_own=row.queue in own,
            messages=lengths[row.queue],
            watch=watch.get(row.queue),
            rate=getattr(workers.get(row.queue), "rate", None),
            left_at=getattr(workers.get(row.queue), "left_at", None),
            keys=book.keys_for(row.tenants or ()) if row.kind in per_tenant else None,
            holds=[h for h in holds if h.queue == row.queue] if row.kind in per_tenant else [],
        )
        for row in rows
    ]
    sharing = sum(
        1
        for row, lane in zip(rows, seen, strict=True)
        if row.rows_left and lane.keys and lane.keys.is_platform
    )
    given = assumptions or Assumptions()
    return [_lane(row, lane, sharing, given) for row, lane in zip(rows, seen, strict=True)]


def _lane(row: Row[Any], seen: _Seen, sharing: int, given: Assumptions) -> LaneRow:
    unattended = _unattended_since(row, seen)
    keys, counted = seen.keys, seen.keys
    if counted and counted.is_platform:
        counted = counted.part(sharing)
    return LaneRow(
        queue=row.queue,
        kind=row.kind,
        tenants=list(row.tenants or ()),
        dedicated=seen.is_own,
        messages=seen.messages,
        ready=row.ready,
        deferred=row.deferred,
        released=row.released,
        running=row.running,
        rows_left=row.rows_left,
        oldest_seconds=None if row.oldest_seconds is None else round(row.oldest_seconds, 1),
        drain_seconds=_drain(row, seen, counted),
        workers=row.workers,
        slots=row.slots,
        rate_per_second=None if seen.rate is None else round(float(seen.rate), 1),
        keys=keys.count if keys else 0,
        keys_per_second=keys.per_second if keys else None,
        held_until=resumes_at(row.held_reason, row.held_until) if row.held_until else None,
        held_reason=row.held_reason,
        unattended_since=unattended,
        unattended_seconds=None if unattended is None else _seconds(row.at - unattended),
        fallback_since=seen.watch.fallback_since if seen.watch else None,
        fallback_tenants=list(seen.watch.fallback_tenants or ()) if seen.watch else [],
        held_tenants=len(seen.holds),
        holds=seen.holds[:MOST_HOLDS],
        advice=advise(_load(row, seen), counted, given),
    )


def _has_work(row: Row[Any]) -> bool:
    return bool(row.ready or row.deferred or row.released or row.running)


def _unattended_since(row: Row[Any], seen: _Seen) -> datetime | None:
    """Return since when there is work and no worker: as noted (`tend_lanes`), else by what is true now.

    Notes begin with released work. Where nobody is left who releases, it is since the oldest chunk waits, or since the last
    worker was seen, whichever was later.
    """
    if row.workers or not _has_work(row):
        return None
    noted: datetime | None = seen.watch.unattended_since if seen.watch else None
    waits_since: datetime = row.at - timedelta(seconds=row.oldest_seconds or 0.0)
    return noted or (max(waits_since, seen.left_at) if seen.left_at else waits_since)


def _seconds(length: timedelta) -> float:
    return round(max(0.0, length.total_seconds()), 1)


def _drain(row: Row[Any], seen: _Seen, keys: LaneKeys | None) -> float | None:
    if keys is None or not row.rows_left:
        return None
    rate = float(seen.rate or 0.0)
    held = (row.held_until - row.at).total_seconds() if row.held_until and not rate else 0.0
    seconds = drain_seconds(row.rows_left, rate, keys, held)
    return None if seconds is None else round(seconds, 1)


def _load(row: Row[Any], seen: _Seen) -> Load:
    return Load(
        rows=row.rows_left or 0,
        rate=float(seen.rate or 0.0),
        running=row.running,
        workers=row.workers,
        slots=row.slots,
        has_work=_has_work(row),
        # Clients in fall-back come back only when a worker is there, and their work lies elsewhere.
        is_wanted=bool(seen.watch and seen.watch.fallback_since),
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
