"""Acts on many jobs, on Celery: each item is a job; it is done and recorded in one transaction."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from celery import shared_task
from sqlalchemy import Connection, text

from app.db.scope import system_scope, tenant_scope
from app.jobs import lease as ledger
from app.jobs import records
from app.jobs.acts import Act, act_on
from app.jobs.lease import Lease
from app.jobs.records import Outcome
from app.jobs.release import recall
from app.settings import get_settings
from tasks.presence import WORKER_ID
from tasks.runtime import runtime

log = structlog.get_logger(__name__)
_ITEMS = text("""
    SELECT i.item_no, i.lead ->> 'ref' AS job FROM job_items i
    WHERE i.job_id = :job AND i.item_no BETWEEN :first AND :last
      AND NOT EXISTS (SELECT 1 FROM job_results r WHERE r.job_id = i.job_id AND r.item_no = i.item_no)
    ORDER BY i.item_no
""")


class _LeaseLost(Exception):
    """Another has the chunk: what was done for this item is undone, that one does it."""


@shared_task(name="tasks.acts.act_on_jobs")
def act_on_jobs(chunk: int, fence: int, tenant_id: str, job: str = "", **_: Any) -> str:
    """Try chunk `chunk` with fence `fence`; return how it ended: stale, done, cancelled, lost, draining."""
    if runtime.draining:
        with system_scope() as connection:
            recall(connection, [chunk])
        return "draining"
    tenant, seconds = UUID(tenant_id), get_settings().lease_seconds
    with tenant_scope(tenant) as connection:
        lease = ledger.take(connection, chunk, fence, worker=WORKER_ID, seconds=seconds)
        if lease is None:
            return "stale"
    # In a transaction of its own: of a chunk that can't be read, the attempt counts, or it would be tried for ever.
    with tenant_scope(tenant) as connection:
        span = {"job": lease.job_id, "first": lease.first_item, "last": lease.last_item}
        items = [(row.item_no, UUID(row.job)) for row in connection.execute(_ITEMS, span)]
    how = _work_through(lease, items, Act.of(lease.params), seconds)
    log.info("chunk_ended", chunk_id=chunk, fence=fence, job_id=job, tenant_id=tenant_id, how=how)
    runtime.kick()
    return how


def _work_through(lease: Lease, items: list[tuple[int, UUID]], act: Act, seconds: float) -> str:
    for item_no, job_id in items:
        if runtime.draining:
            return _end(lease, "draining", lambda c: ledger.put_back(c, lease, lease.run_at))
        try:
            is_cancelled = _do_item(lease, item_no, job_id, act, seconds)
        except _LeaseLost:
            return "lost"
        if is_cancelled:
            return _end(lease, "cancelled", lambda c: ledger.finish(c, lease, "cancelled"))
    return _end(lease, "done", lambda c: ledger.finish(c, lease))


def _do_item(lease: Lease, item_no: int, job_id: UUID, act: Act, seconds: float) -> bool:
    """Act on one job and record it; return whether the whole was cancelled meanwhile."""
    with tenant_scope(lease.tenant_id) as connection:
        outcome = _outcome(item_no, act_on(connection, job_id, act))
        kept = records.record(connection, lease, [outcome], seconds=seconds)
        if not kept.held:
            raise _LeaseLost
        return kept.cancel


def _end(lease: Lease, how: str, action: Callable[[Connection], bool]) -> str:
    with tenant_scope(lease.tenant_id) as connection:
        return how if action(connection) else "lost"


def _outcome(item_no: int, reason: str | None) -> Outcome:
    verdict, message = ("done", "Done.") if reason is None else ("skipped", reason)
    return Outcome(item_no, verdict, None, message, None, "laneway", datetime.now(UTC))
