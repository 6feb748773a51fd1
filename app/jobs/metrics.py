"""What a client's jobs did in a window of time, from the figures by the minute. Read inside a tenant's scope."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, text

#: Chunks are counted up to here.
DEPTH_LIMIT = 10_000
PERCENTILES = (50, 90, 99)
_JOBS = text("""
    SELECT minute, kind, sum(created) AS created, sum(completed) AS completed, sum(failed) AS failed,
        sum(dead_letter) AS dead_letter, sum(cancelled) AS cancelled, sum(items_done) AS items_done,
        sum(items_failed) AS items_failed, array_agg(took) AS took
    FROM job_figures WHERE tenant_id = laneway_tenant() AND minute >= :since GROUP BY minute, kind ORDER BY minute, kind
""")
_CALLS = text("""
    SELECT provider, sum(calls) AS calls, sum(errors) AS errors, array_agg(took) AS took
    FROM call_figures WHERE tenant_id = laneway_tenant() AND minute >= :since GROUP BY provider ORDER BY provider
""")
_WAITING = text("SELECT * FROM work_waiting(:limit)")
_SUMS = ("created", "completed", "failed", "dead_letter", "cancelled", "items_done", "items_failed")


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds that so many of a hundred stayed under, known to within a fifth; None without any."""

    p50: float | None
    p90: float | None
    p99: float | None

    @classmethod
    def of(cls, histograms: Iterable[Sequence[int]]) -> "Percentiles":
        """Read them from histograms of equal places."""
        total = [sum(places) for places in zip(*histograms, strict=True)]
        n = sum(total)
        return cls(*(_under(total, n * share / 100) if n else None for share in PERCENTILES))


def _under(places: Sequence[int], count: float) -> float:
    seen = 0
    for place, n in enumerate(places, start=1):
        seen += n
        if seen >= count:
            return float(round(2 ** (place / 4)))
    return float(round(2 ** (len(places) / 4)))


@dataclass(frozen=True)
class Sums:
    """Jobs made and ended, and rows answered. Rates are shares from 0 to 1; None where nothing ended."""

    created: int
    completed: int
    failed: int
    dead_letter: int
    cancelled: int
    items_done: int
    items_failed: int

    @classmethod
    def of(cls, rows: Iterable[Row[Any]]) -> "Sums":
        """Add up rows."""
        told = list(rows)
        return cls(*(int(sum(getattr(row, name) for row in told)) for name in _SUMS))

    @property
    def success_rate(self) -> float | None:
        """Rows answered of all rows that were done with."""
        return 1 - self.items_failed / self.items_done if self.items_done else None

    @property
    def error_rate(self) -> float | None:
        """The rest."""
        return self.items_failed / self.items_done if self.items_done else None


@dataclass(frozen=True)
class KindFigures:
    """One type of job. `latency` is from when a job was due to its end."""

    kind: str
    sums: Sums
    latency: Percentiles


@dataclass(frozen=True)
class ProviderFigures:
    """One provider. `latency` is of its calls."""

    provider: str
    calls: int
    errors: int
    latency: Percentiles


@dataclass(frozen=True)
class Minute:
    """What happened in one minute, which began at `minute`."""

    minute: datetime
    sums: Sums


@dataclass(frozen=True)
class Waiting:
    """Chunks of one kind that are due and not yet with a worker: how many (up to DEPTH_LIMIT), and since when."""

    kind: str
    depth: int
    oldest_seconds: float


@dataclass(frozen=True)
class Metrics:
    """The window's figures, as of `at`."""

    at: datetime
    window_seconds: int
    sums: Sums
    latency: Percentiles
    by_kind: list[KindFigures]
    by_provider: list[ProviderFigures]
    minutes: list[Minute]
    waiting: list[Waiting]


def read_metrics(connection: Connection, window_seconds: int) -> Metrics:
    """Return the figures of the last `window_seconds`, whole minutes."""
    at = datetime.now(UTC)
    since = (at - timedelta(seconds=window_seconds)).replace(second=0, microsecond=0)
    rows = connection.execute(_JOBS, {"since": since}).all()
    calls = connection.execute(_CALLS, {"since": since}).all()
    waiting = connection.execute(_WAITING, {"limit": DEPTH_LIMIT}).all()
    return Metrics(
        at=at,
        window_seconds=window_seconds,
        sums=Sums.of(rows),
        latency=Percentiles.of(h for row in rows for h in row.took),
        by_kind=[_kind_figures(kind, rows) for kind in sorted({row.kind for row in rows})],
        by_provider=[
            ProviderFigures(c.provider, int(c.calls), int(c.errors), Percentiles.of(c.took))
            for c in calls
        ],
        minutes=[
            Minute(minute, Sums.of(row for row in rows if row.minute == minute))
            for minute in sorted({row.minute for row in rows})
        ],
        waiting=[
            Waiting(w.kind, w.depth, max(0.0, (at - w.oldest).total_seconds()) if w.oldest else 0.0)
            for w in waiting
        ],
    )


def _kind_figures(kind: str, rows: Sequence[Row[Any]]) -> KindFigures:
    mine = [row for row in rows if row.kind == kind]
    return KindFigures(kind, Sums.of(mine), Percentiles.of(h for row in mine for h in row.took))
