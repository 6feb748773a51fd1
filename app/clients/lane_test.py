"""Send one address through a client's lane as a real job, and wait for its answer.

The job is the client's own and shows in its list; one that isn't answered in time is cancelled. It is committed before it
is waited for, so it has connections of its own.
"""

import time
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from app.clients.clients import ClientRow
from app.db.scope import tenant_scope
from app.errors import Conflict
from app.jobs import control
from app.jobs.submit import create_job, cut_chunks

TITLE = "Check of the lane"
#: As lists have it: see app/uploads/submit.py.
JOB_KIND = "email_validation"
#: Before any list of the client's.
PRIORITY = 1
LOOK_SECONDS = 0.2

_LEAF = text("SELECT items_partition(:job)")
_TOTAL = text("UPDATE jobs SET total_items = 1, status = 'processing' WHERE id = :job")
_ANSWER = text("""
    SELECT r.verdict, r.code, r.message, r.provider, r.is_failure, c.status, c.queue, c.started_at IS NOT NULL AS begun
    FROM chunks c LEFT JOIN job_results r ON r.job_id = c.job_id AND r.item_no = 1
    WHERE c.job_id = :job
""")


@dataclass(frozen=True)
class LaneAnswer:
    """What came back: the lane it went through, the verdict (None: none in time), who gave it, and how long it took."""

    job_id: UUID
    queue: str | None
    verdict: str | None
    provider: str | None
    said: str
    is_failure: bool
    #: The chunk's status when it was looked at last.
    status: str
    seconds: float


def send_address(client: ClientRow, address: str, seconds: float) -> LaneAnswer:
    """Make the job, wait up to `seconds` for its answer, and return it."""
    began = time.monotonic()
    with tenant_scope(client.id) as connection:
        job_id = _submit(connection, address)
    queue: str | None = None
    while True:
        with tenant_scope(client.id) as connection:
            row = connection.execute(_ANSWER, {"job": job_id}).one()
        queue = row.queue or queue
        passed = time.monotonic() - began
        if row.verdict is not None or row.status == "dead" or passed > seconds:
            break
        # A look at the ledger, not a guess: the loop ends with the answer.
        time.sleep(LOOK_SECONDS)
    if row.verdict is None:
        _cancel(client, job_id)
    said = " ".join(part for part in (row.code, row.message) if part)
    return LaneAnswer(
        job_id, queue, row.verdict, row.provider, said, bool(row.is_failure), row.status, passed
    )


def _submit(connection: Connection, address: str) -> UUID:
    job_id = create_job(
        connection, kind=JOB_KIND, title=TITLE, params={"columns": ["email"]}, priority=PRIORITY
    )
    leaf = connection.execute(_LEAF, {"job": job_id}).scalar_one()
    insert = text(
        f"INSERT INTO {leaf} (job_id, item_no, line_no, email, cells) "  # noqa: S608 - a partition's name
        "VALUES (:job, 1, 1, :email, jsonb_build_array(CAST(:email AS text)))"
    )
    connection.execute(insert, {"job": job_id, "email": address})
    connection.execute(_TOTAL, {"job": job_id})
    cut_chunks(connection, job_id, "verify", 1, 1)
    return job_id


def _cancel(client: ClientRow, job_id: UUID) -> None:
    with tenant_scope(client.id) as connection:
        try:
            control.cancel(connection, job_id)
        except Conflict:
            return  # it ended at this very moment
