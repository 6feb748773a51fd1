"""Put work into the ledger."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from app.jobs.ids import new_job_id
from app.settings import Settings

_INSERT_JOB = text("""
    INSERT INTO jobs (id, tenant_id, created_by, kind, title, priority, tags, params, webhook_url, scheduled_for, max_retries,
        status)
    VALUES (:id, laneway_tenant(), :created_by, :kind, :title, :priority, :tags, CAST(:params AS jsonb), :webhook_url,
        CAST(:scheduled_for AS timestamptz), :max_retries,
        CASE WHEN CAST(:scheduled_for AS timestamptz) > clock_timestamp() THEN 'scheduled' ELSE 'pending' END)
""")
_INSERT_CHUNK = text("""
    INSERT INTO chunks (job_id, tenant_id, kind, priority, first_item, last_item, run_at)
    SELECT j.id, j.tenant_id, :kind, j.priority, :first_item, :last_item, coalesce(j.scheduled_for, clock_timestamp())
    FROM jobs j WHERE j.id = :job_id
""")
_CUT = text("""
    INSERT INTO chunks (job_id, tenant_id, kind, priority, first_item, last_item, run_at)
    SELECT j.id, j.tenant_id, :kind, j.priority, first, least(first + :size - 1, :items),
        greatest(j.scheduled_for, clock_timestamp())
    FROM jobs j CROSS JOIN generate_series(1, :items, :size) AS first WHERE j.id = :job_id
""")
_OPEN = text(
    "UPDATE jobs SET chunks_open = chunks_open + :n, updated_at = clock_timestamp() WHERE id = :job_id"
)
_NOTIFY = text("SELECT pg_notify('laneway_ready', '')")


def create_job(
    connection: Connection,
    *,
    kind: str,
    title: str,
    params: Mapping[str, Any],
    created_by: UUID | None = None,
    priority: int = 3,
    tags: Sequence[str] = (),
    webhook_url: str | None = None,
    scheduled_for: datetime | None = None,
    max_retries: int | None = None,
    job_id: UUID | None = None,
) -> UUID:
    """Insert a job of the scope's tenant, without chunks; return its id.

    `priority` is 1 (highest) to 5; `params` what its kind needs, as JSON. `max_retries` is how often a row is tried again
    (None: as the settings say); a job with such a budget ends as a dead letter when none of its rows could be had.
    """
    job_id = job_id or new_job_id()
    connection.execute(
        _INSERT_JOB,
        {
            "id": job_id,
            "created_by": created_by,
            "kind": kind,
            "title": title,
            "priority": priority,
            "tags": list(tags),
            "params": json.dumps(dict(params)),
            "webhook_url": webhook_url,
            "scheduled_for": scheduled_for,
            "max_retries": max_retries,
        },
    )
    return job_id


def add_chunk(
    connection: Connection, job_id: UUID, kind: str, first_item: int = 0, last_item: int = 0
) -> None:
    """Add one ready chunk to a job and tell the dispatchers at commit."""
    connection.execute(
        _INSERT_CHUNK,
        {"job_id": job_id, "kind": kind, "first_item": first_item, "last_item": last_item},
    )
    connection.execute(_OPEN, {"job_id": job_id, "n": 1})
    connection.execute(_NOTIFY)


def verifier_params(
    connection: Connection, verifier: str | None, settings: Settings
) -> dict[str, str]:
    """Return what a job's params say of its verification provider; None: nothing, the usual one verifies.

    To be called before the job is made, in its transaction: for another provider than the usual one it makes room in the
    tenant's lane. What held that were the usual one's keys; its jobs find that again, and then wait each by itself.
    """
    if verifier is None:
        return {}
    if verifier != settings.verification_provider:
        connection.execute(text("SELECT share_lane()"))
    return {"verifier": verifier}


def cut_chunks(connection: Connection, job_id: UUID, kind: str, items: int, size: int) -> int:
    """Cut items 1..`items` of a job into ready chunks of `size`; return how many, tell the dispatchers at commit."""
    made = connection.execute(
        _CUT, {"job_id": job_id, "kind": kind, "items": items, "size": size}
    ).rowcount
    connection.execute(_OPEN, {"job_id": job_id, "n": made})
    connection.execute(_NOTIFY)
    return made
