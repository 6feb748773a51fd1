"""What people do to a job: cancel it, retry what failed, change how it is treated."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from app.errors import Conflict, NotFound

_STATUS = text("SELECT status FROM jobs WHERE id = :job")
#: Ends after which nothing is left to take up.
_NEVER_AGAIN = {
    "cancelled": "A cancelled job is not taken up again; send what is left as a new one.",
    "failed": "The job could not begin, as its error says; mend that and send it as a new one.",
}


def _status(connection: Connection, job_id: UUID) -> str:
    status = connection.execute(_STATUS, {"job": job_id}).scalar_one_or_none()
    if status is None:
        raise NotFound("There is no such job.")
    return str(status)


def cancel(connection: Connection, job_id: UUID) -> None:
    """Stop a job of the scope's tenant. What is done stays; what runs ends at its next record, within a second.

    Raises `NotFound`, or `Conflict` when it has ended already.
    """
    status = _status(connection, job_id)
    if status == "cancelled":
        return
    try:
        done = connection.execute(text("SELECT ledger_cancel(:job)"), {"job": job_id}).scalar_one()
    except OperationalError as error:
        if getattr(error.orig, "pgcode", None) != "40001":
            raise
        done = False
    if not done:
        raise Conflict("The job has ended already, so there is nothing left to cancel.")


def retry_failed(connection: Connection, job_id: UUID) -> int:
    """Try again the rows for which no verdict could be had; return how many.

    Raises `NotFound`, or `Conflict` when the job is still running or nothing in it failed.
    """
    status = _status(connection, job_id)
    if status not in ("completed", "dead_letter"):
        raise Conflict(
            _NEVER_AGAIN.get(
                status, f"The job is {status}; what failed can be retried once it is completed."
            )
        )
    rows = int(connection.execute(text("SELECT ledger_retry(:job)"), {"job": job_id}).scalar_one())
    if rows == 0:
        raise Conflict("No row of this job failed, so there is nothing to retry.")
    return rows


def edit(connection: Connection, job_id: UUID, changes: Mapping[str, Any]) -> None:
    """Change `priority`, `webhook_url`, `tags` or `scheduled_for` of a job; work that was not released yet follows.

    Raises `NotFound`, or `Conflict` when the job has ended, or has begun and its time was to be changed.
    """
    told = json.dumps(dict(changes), default=str)
    how = connection.execute(
        text("SELECT ledger_edit(:job, CAST(:changes AS jsonb))"),
        {"job": job_id, "changes": told},
    ).scalar_one()
    if how == "unknown":
        raise NotFound("There is no such job.")
    if how == "ended":
        raise Conflict("The job has ended already, so there is nothing left to change.")
    if how == "begun":
        raise Conflict("The job has begun already, so its time can't be changed.")


def label(connection: Connection, job_id: UUID, tags: Sequence[str]) -> None:
    """Give a job other tags, whatever its status."""
    connection.execute(
        text("UPDATE jobs SET tags = :tags, updated_at = clock_timestamp() WHERE id = :job"),
        {"job": job_id, "tags": list(tags)},
    )
