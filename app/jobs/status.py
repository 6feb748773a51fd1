"""How a job stands: what the page asks every two seconds, so it is one statement over indexes, whose plan is kept.

The rate is what was recorded in the last ten seconds, counted by the ledger itself (migrations 0002 and 0003): it is the same for
everybody who asks, and needs no poll before. "Slow" is told from "stuck", and both from waiting for a known reason.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, text

from app.errors import NotFound
from app.jobs.holds import resumes_at, round_up
from app.jobs.queries import JobView, view_of

Health = Literal["ok", "slow", "stuck", "waiting", "ended"]
Reason = Literal[
    "daily_quota",
    "window",
    "circuit_open",
    "no_worker",
    "no_keys",
    "queue",
    "backend_down",
    "retry",
    "callback",
    "scheduled",
]
RATE_SECONDS = 10.0
#: Nothing recorded for this long, though a worker should be at it.
STUCK_SECONDS = 60.0
SLOW_SECONDS = 15.0
SLOW_ROWS_PER_SECOND = 1.0


@dataclass(frozen=True)
class Waiting:
    """What a job waits for, in words for its owner; `until` when that is known."""

    reason: Reason
    text: str
    until: datetime | None = None


@dataclass(frozen=True)
class JobStatus:
    """How a job stands at `updated_at`. Rates are rows a second; `eta_seconds` at the present rate."""

    job: JobView
    rate_per_second: float | None
    eta_seconds: int | None
    workers: int
    is_dedicated: bool
    waiting: Waiting | None
    last_progress_at: datetime | None
    health: Health
    updated_at: datetime
    #: Since when the client's own lane is left for the shared one, for want of a worker.
    fallback_since: datetime | None = None


#: The tenant's own rows only, as everywhere here: row-level security sees to it.
_STATUS = text("""
    SELECT s.*, f.queue AS own_queue, f.since AS fallback_since
    FROM job_status(:job, :presence, :window) s LEFT JOIN lane_fallbacks f ON f.tenant_id = s.tenant_id
""")
#: Asked only where nobody serves the lane: when the shared one takes over, if it has a worker and the client wishes so.
_TAKES_OVER = text("""
    SELECT a.unattended_since + make_interval(secs => t.fallback_after_seconds)
    FROM lane_attendance a JOIN tenants t ON t.id = laneway_tenant()
    WHERE a.queue = :lane AND (SELECT workers FROM lane_presence('verification-queue', :presence)) > 0
""")
#: Asked only of a job that does not move: when the first of its chunks that wait is due.
_NEXT_DUE = text("""
    SELECT run_at, waits_for FROM chunks WHERE status = 'ready' AND kind = :kind AND tenant_id = laneway_tenant()
        AND priority = :priority AND job_id = :job
    ORDER BY run_at, id LIMIT 1
""")


def get_status(
    connection: Connection, job_id: UUID, *, presence_seconds: float, is_broker_up: bool = True
) -> JobStatus:
    """Return how a job stands. Raises `NotFound`."""
    row = connection.execute(
        _STATUS, {"job": job_id, "presence": presence_seconds, "window": RATE_SECONDS}
    ).one_or_none()
    if row is None:
        raise NotFound("There is no such job.")
    job = view_of(row)
    # Without a row done there may be progress: finds that are still to be verified.
    moments = (row.progress_at, row.recent_at, row.updated_at if job.done else None)
    progress = max(filter(None, moments), default=None)
    rate = _rate(row, job)
    quiet = (row.at - (progress or job.started_at or job.created_at)).total_seconds()
    waiting = _waiting(
        connection, row, job, quiet, presence_seconds=presence_seconds, is_broker_up=is_broker_up
    )
    return JobStatus(
        job=job,
        rate_per_second=rate,
        eta_seconds=round((job.total - job.done) / rate) if rate and not job.is_ended else None,
        workers=row.workers or 0,
        is_dedicated=bool(row.is_dedicated),
        waiting=waiting,
        last_progress_at=progress,
        health=_health(row, job, rate, quiet, waiting),
        updated_at=row.at,
        fallback_since=row.fallback_since if row.chunk_kind == "verify" else None,
    )


def _rate(row: Row[Any], job: JobView) -> float | None:
    if job.is_ended or not job.started_at or not row.recent_rows:
        return None if job.is_ended or job.done == 0 else 0.0
    age = (row.at - job.started_at).total_seconds()
    return round(float(row.recent_rows) / float(min(RATE_SECONDS, max(1.0, age))), 1)


def _health(
    row: Row[Any], job: JobView, rate: float | None, quiet: float, waiting: Waiting | None
) -> Health:
    if job.is_ended and not (job.status == "cancelled" and row.is_in_flight):
        return "ended"
    if job.is_ended:
        # What was being called when it was cancelled is recorded within a second or two.
        return "ok"
    if waiting:
        return "waiting"
    if row.chunk_kind == "parse":
        # Parsing records nothing until it is through; its lease says that somebody is at it.
        return "ok"
    if quiet > STUCK_SECONDS:
        return "stuck"
    is_slow = quiet > SLOW_SECONDS or (rate is not None and rate < SLOW_ROWS_PER_SECOND)
    return "slow" if is_slow else "ok"


def _waiting(
    connection: Connection,
    row: Row[Any],
    job: JobView,
    quiet: float,
    *,
    presence_seconds: float,
    is_broker_up: bool,
) -> Waiting | None:
    if job.is_ended:
        return None
    if job.status == "scheduled" and job.scheduled_for and job.scheduled_for > row.at:
        until = job.scheduled_for
        return Waiting("scheduled", f"begins at {until:%Y-%m-%d %H:%M:%S} UTC", until)
    if not is_broker_up:
        text = "the message broker does not answer; the list is safe and goes on when it is back"
        return Waiting("backend_down", text)
    if not row.workers and not (row.is_in_flight and quiet < RATE_SECONDS):
        return _without_worker(connection, row, presence_seconds)
    # A lane at its limits is held for a moment again and again; that is not waiting.
    return _obstacle(connection, row, job) if quiet >= RATE_SECONDS else None


def _without_worker(connection: Connection, row: Row[Any], presence_seconds: float) -> Waiting:
    if row.fallback_since and row.chunk_kind == "verify":
        return Waiting(
            "no_worker", "neither its own lane nor the shared one has a worker at the moment"
        )
    nobody = "no worker serves this lane at the moment"
    if not row.is_dedicated:
        return Waiting("no_worker", nobody)
    at = connection.execute(
        _TAKES_OVER, {"lane": row.lane, "presence": presence_seconds}
    ).scalar_one_or_none()
    if at is None:
        return Waiting("no_worker", nobody)
    when = f"at {round_up(at, 60):%H:%M} UTC" if at > row.at else "in a moment"
    return Waiting("no_worker", f"{nobody}; the shared lane takes over {when}", at)


def _obstacle(connection: Connection, row: Row[Any], job: JobView) -> Waiting | None:
    if row.held_until:
        return _from_hold(row.held_reason, row.held_until)
    if row.is_in_flight:
        return None
    first = connection.execute(
        _NEXT_DUE, {"kind": row.chunk_kind, "priority": job.priority, "job": job.id}
    ).one_or_none()
    if first is None:
        return None
    if first.run_at <= row.at:
        return Waiting("queue", "other work of this lane is ahead")
    return _from_chunk(first.waits_for, first.run_at)


def _from_chunk(reason: str | None, until: datetime) -> Waiting:
    """Put why a job's next chunk is put off (`chunks.waits_for`) into words."""
    if reason == "callback":
        return Waiting("callback", "a provider answers later", until)
    if reason in (None, "retry"):
        return Waiting("retry", f"the provider failed; next try {until:%H:%M:%S} UTC", until)
    return _from_hold(str(reason), until)


def _from_hold(reason: str, until: datetime) -> Waiting:
    """Put the limiter's reason (`routing.rate_limits`, as kept in `lane_holds`) into words."""
    ends = resumes_at(reason, until)
    if reason == "daily_quota":
        return Waiting("daily_quota", f"daily quota, resumes {ends:%H:%M} UTC", ends)
    if reason == "circuit_open":
        return Waiting(
            "circuit_open",
            f"the keys rest after errors of the provider; next try {ends:%H:%M} UTC",
            ends,
        )
    if reason == "no_keys":
        return Waiting("no_keys", "there is no enabled key for this client")
    return Waiting("window", f"the keys' limits, next call {ends:%H:%M:%S} UTC", ends)
