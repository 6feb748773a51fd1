"""What people see of a job. Read inside a tenant's scope.

A job's row counts ended chunks only; the view `job_overview` adds what the open ones have recorded so far.
"""

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
