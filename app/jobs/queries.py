"""What people see of jobs: one, or a page of them. Read inside a tenant's scope.

A job's row counts ended chunks only; what the open ones have recorded so far is added from a small partial index.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from app.errors import NotFound

VERDICTS = ("valid", "invalid", "catch_all", "unknown")
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

    @property
    def is_ended(self) -> bool:
        """Whether nothing more happens to the job by itself."""
        return self.status in ENDED


#: Selected from `jobs j`; shared with the status query, so that both count alike.
COLUMNS = """
    j.id, j.kind, j.title, j.status, j.priority, j.tags, j.created_at, j.started_at, j.finished_at, j.webhook_url, j.error,
    j.params, j.total_items AS total, j.bad_rows, j.duplicate_rows, j.counts, j.chunks_open, j.updated_at,
    j.done_items + o.done AS done, j.failed_items + o.failed AS failed, o.valid, o.invalid, o.catch_all, o.unknown,
    u.email AS created_by, n.kind AS chunk_kind, n.queue AS lane, n.is_dedicated, n.base_queue
"""
JOINS = """
    LEFT JOIN users u ON u.id = j.created_by
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(c.done_items), 0)::integer AS done, coalesce(sum(c.failed_items), 0)::integer AS failed,
            coalesce(sum((c.counts ->> 'valid')::integer), 0) AS valid,
            coalesce(sum((c.counts ->> 'invalid')::integer), 0) AS invalid,
            coalesce(sum((c.counts ->> 'catch_all')::integer), 0) AS catch_all,
            coalesce(sum((c.counts ->> 'unknown')::integer), 0) AS unknown
        FROM chunks c WHERE c.job_id = j.id AND c.status IN ('ready', 'released', 'running') AND c.done_items > 0
    ) o
    LEFT JOIN LATERAL (
        -- The newest chunk says what kind of work the job is at: parsing first, then what parsing cut.
        SELECT c.kind, k.base_queue, k.per_tenant AND l.queue IS NOT NULL AS is_dedicated,
            coalesce(CASE WHEN k.per_tenant THEN l.queue END, k.base_queue) AS queue
        FROM chunks c JOIN chunk_kinds k ON k.kind = c.kind LEFT JOIN tenant_lanes l ON l.tenant_id = c.tenant_id
        WHERE c.job_id = j.id ORDER BY c.id DESC LIMIT 1
    ) n ON true
"""
_GET = text(f"SELECT {COLUMNS} FROM jobs j {JOINS} WHERE j.id = :job")  # noqa: S608 - constants only
_LIST = text(f"""
    SELECT {COLUMNS} FROM (
        SELECT * FROM jobs
        WHERE tenant_id = laneway_tenant()
          AND (CAST(:after AS uuid) IS NULL OR id < CAST(:after AS uuid))
          AND (CAST(:status AS text) IS NULL OR status = :status)
        ORDER BY id DESC LIMIT :n
    ) j {JOINS} ORDER BY j.id DESC
""")  # noqa: S608 - constants only


def view_of(row: Row[Any]) -> JobView:
    """Return the job in a row of COLUMNS."""
    recorded = row.counts
    counts = {
        verdict: int(recorded.get(verdict, 0)) + int(getattr(row, verdict)) for verdict in VERDICTS
    }
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
        counts=counts,
        failed=row.failed,
        bad_rows=row.bad_rows,
        duplicate_rows=row.duplicate_rows,
        params=dict(row.params),
    )


def get_job(connection: Connection, job_id: UUID) -> JobView:
    """Return a job. Raises `NotFound`, also for another tenant's."""
    row = connection.execute(_GET, {"job": job_id}).one_or_none()
    if row is None:
        raise NotFound("There is no such job.")
    return view_of(row)


def list_jobs(
    connection: Connection, *, limit: int, after: UUID | None = None, status: str | None = None
) -> list[JobView]:
    """Return up to `limit` jobs, newest first, those older than `after`."""
    rows = connection.execute(_LIST, {"after": after, "status": status, "n": limit})
    return [view_of(row) for row in rows]
