"""What people see of a job. Read inside a tenant's scope.

A job's row counts ended chunks only; the view `job_overview` adds what the open ones have recorded so far.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from app.errors import NotFound

#: Of an address, then of a lead. `unknown` stands for either: it could not be had.
VERDICTS = ("valid", "invalid", "catch_all", "unknown", "found", "partial", "not_found")
STATUSES = (
    "scheduled",
    "pending",
    "processing",
    "retrying",
    "waiting",
    "completed",
    "failed",
    "cancelled",
    "dead_letter",
)
ENDED = frozenset(("completed", "failed", "cancelled", "dead_letter"))


@dataclass(frozen=True)
class JobView:
    """A job as people see it. `lane` is the queue of its newest work; counts include open chunks."""

    id: UUID
    kind: str
    title: str
    status: str
    priority: int
    tags: list[str]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    created_by: str | None
    webhook_url: str | None
    error: str | None
    lane: str | None
    total: int
    done: int
    counts: dict[str, int]
    failed: int
    bad_rows: int
    duplicate_rows: int
    params: dict[str, Any]
    scheduled_for: datetime | None
    max_retries: int | None

    @property
    def is_ended(self) -> bool:
        """Whether nothing more happens to the job by itself."""
        return self.status in ENDED


_GET = text("SELECT * FROM job_overview WHERE id = :job")
_GET_MANY = text("SELECT * FROM job_overview WHERE id = ANY(:jobs)")
#: What has recorded rows lately, of this tenant. The moment in a subquery, so that it can bound the index scan: the function
#: itself, whose answer changes from row to row, would have every chunk read that was ever begun.
_MOVING = text("""
    SELECT DISTINCT job_id FROM chunks
    WHERE mark_at > (SELECT clock_timestamp() - make_interval(secs => :seconds + 10))
        AND progress_at > clock_timestamp() - make_interval(secs => :seconds) AND tenant_id = laneway_tenant() LIMIT :n
""")


def view_of(row: Row[Any]) -> JobView:
    """Return the job in a row of `job_overview`."""
    return JobView(
        id=row.id,
        kind=row.kind,
        title=row.title,
        status=row.status,
        priority=row.priority,
        tags=list(row.tags),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        created_by=row.created_by,
        webhook_url=row.webhook_url,
        error=row.error,
        lane=row.lane,
        total=row.total,
        done=row.done,
        counts={verdict: getattr(row, verdict) for verdict in VERDICTS},
        failed=row.failed,
        bad_rows=row.bad_rows,
        duplicate_rows=row.duplicate_rows,
        params=dict(row.params),
        scheduled_for=row.scheduled_for,
        max_retries=row.max_retries,
    )


def get_job(connection: Connection, job_id: UUID) -> JobView:
    """Return a job. Raises `NotFound`, also for another tenant's."""
    row = connection.execute(_GET, {"job": job_id}).one_or_none()
    if row is None:
        raise NotFound("There is no such job.")
    return view_of(row)


def get_jobs(connection: Connection, job_ids: Collection[UUID]) -> list[JobView]:
    """Return these jobs in no particular order, without those that are not there or are another tenant's."""
    return [view_of(row) for row in connection.execute(_GET_MANY, {"jobs": list(job_ids)})]


def moving_jobs(connection: Connection, *, seconds: float, limit: int) -> list[UUID]:
    """Return up to `limit` jobs for which rows were recorded in the last seconds."""
    found = connection.execute(_MOVING, {"seconds": seconds, "n": limit})
    return list(found.scalars())
