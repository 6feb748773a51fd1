"""What a client's jobs did in a window of time, from the figures by the minute. Read inside a tenant's scope."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, text

#: Chunks are counted up to here.
DEPTH_LIMIT = 10_000
PERCENTILES = (50, 90, 99)
#: A window is told in the finest of these steps (s) of which it has no more than MOST_STEPS: who draws them has about so many
#: pixels, and each costs as much to send as to read.
STEPS = (60, 300, 900, 3600, 21_600)
MOST_STEPS = 170
_JOBS = text("""
    SELECT date_bin(make_interval(secs => :step), minute, 'epoch') AS at, kind, sum(created), sum(completed), sum(failed),
        sum(dead_letter), sum(cancelled), sum(items_done)::bigint, sum(items_failed)::bigint
    FROM job_figures WHERE tenant_id = laneway_tenant() AND minute >= :since GROUP BY 1, 2 ORDER BY 1, 2
""")
_TOOK = text("""
    SELECT kind AS name, place, sum(n) AS n FROM job_took
    WHERE tenant_id = laneway_tenant() AND minute >= :since GROUP BY kind, place
""")
_CALLS = text("""
    SELECT provider, sum(calls) AS calls, sum(errors) AS errors
    FROM call_figures WHERE tenant_id = laneway_tenant() AND minute >= :since GROUP BY provider ORDER BY provider
""")
_CALLS_TOOK = text("""
    SELECT provider AS name, place, sum(n) AS n FROM call_took
    WHERE tenant_id = laneway_tenant() AND minute >= :since GROUP BY provider, place
""")
_WAITING = text("SELECT * FROM work_waiting(:limit)")
#: As many as `Sums` has, in whose order `_JOBS` tells them after a step and a kind.
_NONE = (0,) * 7
#: How many there are at each place of a histogram.
Histogram = Mapping[int, int]


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds that so many of a hundred stayed under, known to within a fifth; None without any."""

    p50: float | None
    p90: float | None
    p99: float | None

    @classmethod
    def of(cls, *histograms: Histogram) -> "Percentiles":
        """Read them from histograms, taken together."""
        total: dict[int, int] = defaultdict(int)
        for histogram in histograms:
            for place, n in histogram.items():
                total[place] += n
        n = sum(total.values())
        return cls(*(_under(total, n * share / 100) if n else None for share in PERCENTILES))


def _under(places: Histogram, count: float) -> float:
    seen, place = 0, 0
    for place in sorted(places):
        seen += places[place]
        if seen >= count:
            break
    return float(round(2 ** (place / 4)))


@dataclass(frozen=True)
class Sums:
    """Jobs made and ended, and rows answered. Rates are shares from 0 to 1; None where nothing ended.

    Of a job that was tried again only the difference is counted, so a window may begin after what it undoes: never below 0.
    """

    created: int
    completed: int
    failed: int
    dead_letter: int
    cancelled: int
    items_done: int
    items_failed: int

    @classmethod
    def of(cls, rows: Iterable[Row[Any]]) -> "Sums":
        """Add up rows of `_JOBS`."""
        columns = zip(_NONE, *(row[2:] for row in rows), strict=True)
        return cls(*(max(0, sum(column)) for column in columns))

    @property
    def success_rate(self) -> float | None:
        """Rows answered of all rows that were done with."""
        return None if self.error_rate is None else 1 - self.error_rate

    @property
    def error_rate(self) -> float | None:
        """The rest."""
        return min(1.0, self.items_failed / self.items_done) if self.items_done else None


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
    """What happened in one step, a minute or some, which began at `minute`."""

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
    step_seconds: int
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
    step = next((s for s in STEPS if window_seconds <= MOST_STEPS * s), STEPS[-1])
    rows = connection.execute(_JOBS, {"since": since, "step": step}).all()
    took = _histograms(connection.execute(_TOOK, {"since": since}))
    calls = connection.execute(_CALLS, {"since": since}).all()
    calls_took = _histograms(connection.execute(_CALLS_TOOK, {"since": since}))
    waiting = connection.execute(_WAITING, {"limit": DEPTH_LIMIT}).all()
    return Metrics(
        at=at,
        window_seconds=window_seconds,
        step_seconds=step,
        sums=Sums.of(rows),
        latency=Percentiles.of(*took.values()),
        by_kind=[
            KindFigures(kind, Sums.of(mine), Percentiles.of(took[kind]))
            for kind, mine in sorted(_grouped(rows, "kind").items())
        ],
        by_provider=[
            ProviderFigures(c.provider, c.calls, c.errors, Percentiles.of(calls_took[c.provider]))
            for c in calls
        ],
        minutes=[Minute(at, Sums.of(mine)) for at, mine in _grouped(rows, "at").items()],
        waiting=[
            Waiting(w.kind, w.depth, max(0.0, (at - w.oldest).total_seconds()) if w.oldest else 0.0)
            for w in waiting
        ],
    )


def _histograms(rows: Iterable[Row[Any]]) -> defaultdict[str, dict[int, int]]:
    found: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for row in rows:
        found[row.name][row.place] = row.n
    return found


def _grouped(rows: Iterable[Row[Any]], name: str) -> dict[Any, list[Row[Any]]]:
    groups: dict[Any, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        groups[getattr(row, name)].append(row)
    return groups
