"""A job made in one statement: its row, its items, its chunks, and the notice to the dispatchers.

The same in a transaction of the caller's (`submit`) or in one of its own (`submit_alone`), which is one exchange with the
server instead of four; a request that makes nothing else takes that. What is made by hand, step by step, is `submit.py`'s.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from app.db.scope import statement_scope
from app.jobs.ids import new_job_id
from app.jobs.queries import JobView, view_of

#: In the driver's own words: SQLAlchemy's reading of a text costs as much as sending it.
_SUBMIT = """
    SELECT * FROM ledger_submit(%s, %s, %s, %s, %s, %s, CAST(%s AS text[]), CAST(%s AS jsonb), %s, CAST(%s AS timestamptz), %s,
        CAST(%s AS uuid), CAST(%s AS json), %s, %s)
"""
_VERSION = text("SELECT xmin::text FROM tenants WHERE id = laneway_tenant()")


@dataclass(frozen=True)
class NewJob:
    """A job to be made, with its `leads` in normal form, and chunks of `chunk_kind` with up to `chunk_rows` of them.

    `priority` is 1 (highest) to 5; `max_retries` how often a row is tried again.
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


def client_version(connection: Connection) -> str:
    """Return what changes whenever the row of the scope's tenant does; to be read before what follows from that row."""
    return str(connection.execute(_VERSION).scalar_one())


def submit(connection: Connection, tenant_id: UUID, job: NewJob) -> JobView:
    """Make a job in the tenant's scope; dispatchers are told at commit."""
    return view_of(connection.exec_driver_sql(_SUBMIT, _values(tenant_id, job, None)).one())


def submit_unless_changed(
    connection: Connection, tenant_id: UUID, job: NewJob, version: str | None
) -> JobView | None:
    """Do as `submit`, but make nothing and return None when the client's row is no longer of that version (None: of any)."""
    values = _values(tenant_id, job, version)
    row = connection.exec_driver_sql(_SUBMIT, values).one_or_none()
    return None if row is None else view_of(row)


def submit_alone(tenant_id: UUID, job: NewJob, *, version: str | None = None) -> JobView | None:
    """Make a job in a transaction of its own, which has ended when this returns.

    With `version`, None when the client's row is no longer of that version: the job's params may be out of date, and
    nothing was made.
    """
    with statement_scope() as connection:
        return submit_unless_changed(connection, tenant_id, job, version)


def _values(tenant_id: UUID, job: NewJob, version: str | None) -> tuple[Any, ...]:
    return (
        str(tenant_id),
        str(new_job_id()),
        job.kind,
        job.chunk_kind,
        job.title,
        job.priority,
        list(job.tags),
        json.dumps(dict(job.params)),
        job.webhook_url,
        job.scheduled_for,
        job.max_retries,
        None if job.created_by is None else str(job.created_by),
        json.dumps([dict(lead) for lead in job.leads]),
        job.chunk_rows,
        version,
    )
