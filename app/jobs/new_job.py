"""Jobs made in one statement: their rows, their items, their chunks, and the notice to the dispatchers.

The same in a transaction of the caller's (`submit`) or in one of its own (`submit_alone`, `submit_many`), which is one exchange
with the server instead of four; a request that makes nothing else takes that. What is made by hand, step by step, is `submit.py`'s.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from app.db.scope import statement_cursor, statement_scope
from app.jobs.ids import new_job_id
from app.jobs.queries import VERDICTS, JobView

#: In the driver's own words: SQLAlchemy's reading of a text costs as much as sending it.
_SUBMIT = """
    SELECT CAST(id AS text), status, created_at, duplicate_rows, created_by, lane FROM ledger_submit_many(%s, %s)
"""
_VERSION = text("SELECT xmin::text FROM tenants WHERE id = laneway_tenant()")


@dataclass(frozen=True)
class AskedBy:
    """Who asks for a job and with which API token, if with one; `version` is of all that is remembered of both (`auth_caller`)."""

    version: str
    token_id: UUID | None = None


@dataclass(frozen=True)
class NewJob:
    """A job to be made, with its `leads` in normal form, and chunks of `chunk_kind` with up to `chunk_rows` of them.

    `priority` is 1 (highest) to 5; `max_retries` how often a row is tried again. With `version` it is not made when the client's
    row is no longer of that version, with `caller` when `created_by` is not: what it was made up from may be out of date.
    """

    kind: str
    chunk_kind: str
    leads: Sequence[Mapping[str, str]]
    chunk_rows: int
    created_by: UUID | None = None
    title: str = ""
    priority: int = 3
    tags: Sequence[str] = ()
    webhook_url: str | None = None
    scheduled_for: datetime | None = None
    max_retries: int = 3
    params: Mapping[str, Any] = field(default_factory=dict)
    version: str | None = None
    caller: AskedBy | None = None
    id: UUID = field(default_factory=new_job_id)


def client_version(connection: Connection) -> str:
    """Return what changes whenever the row of the scope's tenant does; to be read before what follows from that row."""
    return str(connection.execute(_VERSION).scalar_one())


def submit(connection: Connection, tenant_id: UUID, job: NewJob) -> JobView | None:
    """Make a job in the tenant's scope; dispatchers are told at commit. None: out of date, and nothing was made."""
    rows = connection.exec_driver_sql(_SUBMIT, (str(tenant_id), _said([job]))).all()
    return _view(job, rows[0]) if rows else None


def submit_alone(tenant_id: UUID, job: NewJob) -> JobView | None:
    """Make a job in a transaction of its own, which has ended when this returns. None: out of date, and nothing was made."""
    with statement_scope() as connection:
        return submit(connection, tenant_id, job)


def submit_many(tenant_id: UUID, jobs: Sequence[NewJob]) -> list[JobView | None]:
    """Make jobs of a client in one transaction, which has ended when this returns: all of them or, where it raises, none.

    None stands for one that is out of date. Raises what the driver raises; of an error that says no SQLSTATE nobody knows whether
    it came before or after the commit.
    """
    with statement_cursor() as cursor:
        cursor.execute(_SUBMIT, (str(tenant_id), _said(jobs)))
        made = {row[0]: row for row in cursor.fetchall()}
    return [_view(job, made[str(job.id)]) if str(job.id) in made else None for job in jobs]


def _said(jobs: Sequence[NewJob]) -> str:
    return json.dumps([_values(job) for job in jobs])


def _values(job: NewJob) -> dict[str, Any]:
    return {
        "id": str(job.id),
        "kind": job.kind,
        "chunk_kind": job.chunk_kind,
        "title": job.title,
        "priority": job.priority,
        "tags": list(job.tags),
        "params": dict(job.params),
        "webhook_url": job.webhook_url,
        "scheduled_for": None if job.scheduled_for is None else job.scheduled_for.isoformat(),
        "max_retries": job.max_retries,
        "created_by": None if job.created_by is None else str(job.created_by),
        "leads": [dict(lead) for lead in job.leads],
        "size": job.chunk_rows,
        "version": job.version,
        "caller": job.caller.version if job.caller else None,
        "token": str(job.caller.token_id) if job.caller and job.caller.token_id else None,
    }


def _view(job: NewJob, row: Sequence[Any]) -> JobView:
    """Return a job as people see it when it has just been made; what it was made from says the most."""
    _, status, created_at, duplicate_rows, created_by, lane = row
    return JobView(
        id=job.id,
        kind=job.kind,
        title=job.title,
        status=status,
        priority=job.priority,
        tags=list(job.tags),
        created_at=created_at,
        started_at=None,
        finished_at=None,
        created_by=created_by,
        webhook_url=job.webhook_url,
        error=None,
        lane=lane,
        total=len(job.leads),
        done=0,
        counts=dict.fromkeys(VERDICTS, 0),
        failed=0,
        bad_rows=0,
        duplicate_rows=duplicate_rows,
        params=dict(job.params),
        scheduled_for=job.scheduled_for,
        max_retries=job.max_retries,
    )
