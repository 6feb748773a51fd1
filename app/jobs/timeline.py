"""The course of a job, for people who ask why: its turns, its chunks, and what was asked about one row.

Read inside a tenant's scope. A job's turns are kept by a trigger (migration 0021); jobs made before that have those that
their row knows.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, text

from app.errors import NotFound
from app.jobs.queries import JobView
from app.jobs.results import ResultRow, list_results

What = Literal["created", "started", "retried", "ended"]
#: Of many chunks those are shown that move or wait, then the last that ended.
CHUNKS_SHOWN = 100
ATTEMPTS_SHOWN = 200
CALLS_SHOWN = 50
_EVENTS = text("SELECT at, what, status, failed FROM job_events WHERE job_id = :job ORDER BY id")
_CHUNKS = text("""
    SELECT kind, first_item, last_item, status, run_at, started_at, finished_at, done_items AS done, failed_items AS failed,
        attempts, waits_for, error
    FROM chunks WHERE job_id = :job
    ORDER BY finished_at IS NOT NULL, finished_at DESC, id LIMIT :n
""")
_CHUNKS_BY_STATUS = text(
    "SELECT status, count(*) AS n FROM chunks WHERE job_id = :job GROUP BY status"
)
_ATTEMPTS = text("""
    SELECT at, provider, outcome, code, message, is_cached AS cached, is_late AS callback, ms, credits
    FROM lookup_attempts
    WHERE job_id = :job AND item_no = :item ORDER BY id LIMIT :n
""")
#: The last that came, in the order in which they came.
_CALLS = text("""
    SELECT * FROM (
        SELECT e.id, e.received_at AS at, e.provider, e.event, e.state, e.item_nos AS items, ARRAY(
            SELECT i.line_no FROM job_items i WHERE i.job_id = :job AND i.item_no = ANY (e.item_nos) ORDER BY i.item_no
        ) AS lines
        FROM lookup_events e WHERE e.job_id = :job ORDER BY e.id DESC LIMIT :n
    ) last ORDER BY id
""")
_NEXT = text("""
    SELECT retries -> CAST(:item AS text) AS told FROM chunks
    WHERE job_id = :job AND first_item <= :item AND last_item >= :item AND retries ? CAST(:item AS text)
      AND status IN ('ready', 'released', 'running')
    LIMIT 1
""")


@dataclass(frozen=True)
class Turn:
    """A turn of a job's life; `failed` rows had no verdict then."""

    at: datetime
    what: What
    status: str
    failed: int


@dataclass(frozen=True)
class ChunkView:
    """A piece of the work. `attempts` are leases in a row that ended without a word; `waits_for` says why it is put off."""

    kind: str
    first_item: int
    last_item: int
    status: str
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    done: int
    failed: int
    attempts: int
    waits_for: str | None
    error: str | None


@dataclass(frozen=True)
class CallView:
    """A call from outside about the job, and what it came to. `provider` None: an event that somebody told.

    `lines` are those of the list that the rows `items` stand in.
    """

    id: int
    at: datetime
    provider: str | None
    event: str | None
    state: str
    items: list[int]
    lines: list[int]


@dataclass(frozen=True)
class Timeline:
    """A job's course; `by_status` counts all its chunks, of which some are shown."""

    turns: list[Turn]
    calls: list[CallView]
    chunks: list[ChunkView]
    by_status: dict[str, int]


@dataclass(frozen=True)
class AttemptView:
    """A question to a provider and what came of it; `ms` None: no call was made.

    `callback`: what the provider said in a call of its own, after it was asked.
    """

    at: datetime
    provider: str
    outcome: str
    code: str | None
    message: str | None
    cached: bool
    callback: bool
    ms: int | None
    credits: float | None


@dataclass(frozen=True)
class Pending:
    """A row that is tried again: how often it was, when next, and why the last time failed."""

    attempts: int
    not_before: datetime
    reason: str


@dataclass(frozen=True)
class ItemCourse:
    """One row with every question that was asked about it, the first first."""

    result: ResultRow
    attempts: list[AttemptView]
    pending: Pending | None


def read_timeline(connection: Connection, job: JobView) -> Timeline:
    """Return the course of a job."""
    turns = [Turn(**row._mapping) for row in connection.execute(_EVENTS, {"job": job.id})]
    chunks = connection.execute(_CHUNKS, {"job": job.id, "n": CHUNKS_SHOWN})
    counted = connection.execute(_CHUNKS_BY_STATUS, {"job": job.id})
    return Timeline(
        turns=turns or _turns_of(job),
        calls=read_calls(connection, job.id),
        chunks=[ChunkView(**row._mapping) for row in chunks],
        by_status={row.status: row.n for row in counted},
    )


def read_calls(connection: Connection, job_id: UUID) -> list[CallView]:
    """Return the last calls from outside about a job, up to CALLS_SHOWN, the first first."""
    found = connection.execute(_CALLS, {"job": job_id, "n": CALLS_SHOWN})
    return [CallView(**row._mapping) for row in found]


def read_item(connection: Connection, job_id: UUID, item_no: int) -> ItemCourse:
    """Return one row's course. Raises `NotFound`."""
    found = list_results(connection, job_id, limit=1, after=item_no - 1)
    if not found or found[0].item_no != item_no:
        raise NotFound("This job has no such row.")
    values = {"job": job_id, "item": item_no, "n": ATTEMPTS_SHOWN}
    attempts = [AttemptView(**row._mapping) for row in connection.execute(_ATTEMPTS, values)]
    return ItemCourse(found[0], attempts, _pending(connection.execute(_NEXT, values).one_or_none()))


def _turns_of(job: JobView) -> list[Turn]:
    turns = [Turn(job.created_at, "created", "pending", 0)]
    if job.started_at:
        turns.append(Turn(job.started_at, "started", "processing", 0))
    if job.finished_at:
        turns.append(Turn(job.finished_at, "ended", job.status, job.failed))
    return turns


def _pending(row: Row[Any] | None) -> Pending | None:
    if row is None:
        return None
    attempts, not_before, reason = row.told
    return Pending(int(attempts), datetime.fromtimestamp(float(not_before), UTC), str(reason))
