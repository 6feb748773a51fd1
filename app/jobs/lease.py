"""What a worker does with a chunk: take it, keep it, record, finish, hand it back.

Each function names the chunk by (id, fence). When another fence has been given out since (the lease ran out, the lane
was changed, the job was cancelled), nothing is written and the caller is told so.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class Lease:
    """A chunk that this worker holds until `lease_until` unless it renews."""

    chunk_id: int
    fence: int
    job_id: UUID
    tenant_id: UUID
    kind: str
    first_item: int
    last_item: int
    attempts: int
    run_at: datetime
    #: 1 (highest) to 5.
    priority: int
    #: When it was taken, by the database's clock.
    taken_at: datetime
    params: Mapping[str, Any]
    #: Attempts for an item, where the job says; None: as the settings say.
    max_attempts: int | None
    #: item_no -> (attempts so far, not before, last reason)
    retries: dict[int, tuple[int, float, str]] = field(default_factory=dict)


_TAKE = text("""
    UPDATE chunks c SET status = 'running', attempts = c.attempts + 1, leased_by = :worker,
        lease_until = clock_timestamp() + make_interval(secs => :seconds), waits_for = NULL,
        started_at = coalesce(c.started_at, clock_timestamp())
    FROM jobs j
    WHERE c.id = :id AND c.fence = :fence AND c.status = 'released' AND j.id = c.job_id
    RETURNING c.job_id, c.tenant_id, c.kind, c.first_item, c.last_item, c.attempts, c.run_at, c.priority, c.retries, j.params, j.status, j.max_retries + 1 AS max_attempts,
        clock_timestamp() AS taken_at
""")
#: Who puts back another of the job's chunks at the same time says that it waits: before this, or after, and then sees ours.
_LOCK_JOB = text("SELECT 1 FROM jobs WHERE id = :job_id FOR NO KEY UPDATE")
_STARTED = text("""
    UPDATE jobs SET status = 'processing', started_at = coalesce(started_at, clock_timestamp()), updated_at = clock_timestamp()
    WHERE id = :job_id AND status IN ('pending', 'scheduled', 'retrying', 'waiting')
""")
_PENDING = text("""
    SELECT i.item_no, i.email FROM job_items i
    WHERE i.job_id = :job_id AND i.item_no BETWEEN :first AND :last
      AND NOT EXISTS (SELECT 1 FROM job_results r WHERE r.job_id = i.job_id AND r.item_no = i.item_no)
      AND NOT EXISTS (SELECT 1 FROM job_duplicates d WHERE d.job_id = i.job_id AND d.item_no = i.item_no)
    ORDER BY i.item_no
""")
_FOUND = text("""
    SELECT f.item_no, f.email FROM lookup_finds f
    WHERE f.job_id = :job_id AND f.item_no BETWEEN :first AND :last
      AND NOT EXISTS (SELECT 1 FROM job_results r WHERE r.job_id = f.job_id AND r.item_no = f.item_no)
    ORDER BY f.item_no
""")
_FINISH = text("SELECT ledger_finish(:chunk, :fence, :status)")
_PUT_BACK = text(
    "SELECT ledger_put_back(:chunk, :fence, :run_at, CAST(:retries AS jsonb), :waits_for)"
)
_KEYS_CHANGED = text("SELECT keys_changed(:since)")
_IS_MIXED = text("SELECT lane_is_mixed(:usual)")
_WAKE = text("""
    UPDATE chunks SET run_at = clock_timestamp(), waits_for = NULL WHERE id IN (
        SELECT id FROM chunks WHERE tenant_id = laneway_tenant() AND kind = :kind AND status = 'ready'
            AND waits_for IS NOT NULL AND waits_for NOT IN ('retry', 'callback')
        ORDER BY id FOR UPDATE SKIP LOCKED)
""")
_HOLD = text("SELECT hold_lane(:chunk, :fence, :until, :reason, :noticed_at)")


def take(
    connection: Connection, chunk_id: int, fence: int, *, worker: UUID, seconds: float
) -> Lease | None:
    """Take a released chunk for `seconds`; None when it is not there to be taken.

    The attempt is counted here, before any work, so that a chunk that kills its worker is counted too.
    """
    row = connection.execute(
        _TAKE, {"id": chunk_id, "fence": fence, "worker": worker, "seconds": seconds}
    ).one_or_none()
    if row is None:
        return None
    if row.max_attempts is not None:
        # Only jobs with a budget of retries say that they wait.
        connection.execute(_LOCK_JOB, {"job_id": row.job_id})
    if row.max_attempts is not None or row.status in ("pending", "scheduled"):
        connection.execute(_STARTED, {"job_id": row.job_id})
    retries = {
        int(item): (int(n), float(at), str(why)) for item, (n, at, why) in row.retries.items()
    }
    return Lease(
        chunk_id=chunk_id,
        fence=fence,
        job_id=row.job_id,
        tenant_id=row.tenant_id,
        kind=row.kind,
        first_item=row.first_item,
        last_item=row.last_item,
        attempts=row.attempts,
        run_at=row.run_at,
        priority=row.priority,
        taken_at=row.taken_at,
        params=row.params,
        max_attempts=row.max_attempts,
        retries=retries,
    )


def pending_items(connection: Connection, lease: Lease) -> list[tuple[int, str]]:
    """Return (item_no, address) of the chunk's items without a result; duplicates are answered with their first.

    In a job that verifies what it found, the addresses are those that were found.
    """
    rows = connection.execute(
        _FOUND if lease.params.get("then") == "verify" else _PENDING,
        {"job_id": lease.job_id, "first": lease.first_item, "last": lease.last_item},
    )
    return [(row.item_no, row.email) for row in rows]


def finish(connection: Connection, lease: Lease, status: str = "done") -> bool:
    """End the chunk (`done` or `cancelled`) and, with the last one, its job. False: it was no longer ours."""
    return bool(
        connection.execute(
            _FINISH, {"chunk": lease.chunk_id, "fence": lease.fence, "status": status}
        ).scalar_one()
    )


def put_back(
    connection: Connection,
    lease: Lease,
    run_at: datetime,
    retries: Mapping[int, tuple[int, float, str]] | None = None,
    waits_for: str | None = None,
) -> bool:
    """Hand the chunk back, to be released again from `run_at` on. False: it was no longer ours.

    `waits_for` is the reason, where it is known and the job's people should see it: retry, callback, or the limiter's word
    (window, daily_quota, circuit_open, no_keys …), which puts off the job's other chunks as well.
    """
    return bool(
        connection.execute(
            _PUT_BACK,
            {
                "chunk": lease.chunk_id,
                "fence": lease.fence,
                "run_at": run_at,
                "retries": None if retries is None else json.dumps(retries),
                "waits_for": waits_for,
            },
        ).scalar_one()
    )


def put_off(
    connection: Connection,
    lease: Lease,
    until: datetime,
    reason: str,
    retries: Mapping[int, tuple[int, float, str]],
    *,
    noticed_at: datetime,
) -> bool:
    """Hand the chunk back until its keys have something to give; the job's other chunks wait with it. False: not ours.

    It may go on at once where the keys have changed since `noticed_at`: others may serve it now.
    """
    changed = connection.execute(_KEYS_CHANGED, {"since": noticed_at}).scalar_one()
    if changed:
        return put_back(connection, lease, lease.run_at, retries)
    return put_back(connection, lease, until, retries, reason)


def lane_is_mixed(connection: Connection, usual: str) -> bool:
    """Tell whether open jobs of the tenant are verified by another provider than the `usual` one.

    Until the transaction ends no such job is begun.
    """
    return bool(connection.execute(_IS_MIXED, {"usual": usual}).scalar_one())


def lift_holds(connection: Connection, kind: str) -> None:
    """Release the tenant's chunks of this kind again, whatever held them or put them off: its keys may be others now."""
    connection.execute(text("DELETE FROM lane_holds WHERE kind = :kind"), {"kind": kind})
    connection.execute(_WAKE, {"kind": kind})


def hold_lane(
    connection: Connection, lease: Lease, until: datetime, reason: str, *, noticed_at: datetime
) -> bool:
    """Release none of the tenant's chunks of this kind before `until`; `reason` is shown to people.

    False, and nothing is held, where the client's lane or keys have changed since `noticed_at`: others may serve it now.
    """
    return bool(
        connection.execute(
            _HOLD,
            {
                "chunk": lease.chunk_id,
                "fence": lease.fence,
                "until": until,
                "reason": reason,
                "noticed_at": noticed_at,
            },
        ).scalar_one()
    )
