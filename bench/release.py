"""Release of 64 chunks out of 1,000,000 that are ready, over 1,000 clients: median of 20.

The lane has a live worker with 32 slots, so a release fills 64 places. Between two measurements the released chunks are
taken back, as lost messages would be, so that each finds the same backlog. Timed is what a dispatcher waits for:
statement and commit (fsync on).
"""

import time
from uuid import uuid4

from sqlalchemy import text

from app.db.scope import system_scope
from app.jobs import release as ledger
from bench.figures import Figure, Scale, Target, percentile
from bench.installation import Installation, run_installation
from routing import queues

PLACES = 64
ROUNDS = 20
_FILL = (
    "INSERT INTO tenants (slug, name) SELECT 't' || i, 't' || i FROM generate_series(1, {tenants}) AS i",
    """INSERT INTO jobs (id, tenant_id, kind, total_items)
       SELECT uuidv7(), id, 'email_validation', {chunks} * 100 FROM tenants""",
    """INSERT INTO chunks (job_id, tenant_id, kind, priority, first_item, last_item)
       SELECT j.id, j.tenant_id, 'verify', 1 + mod(i, 5), i * 100 + 1, i * 100 + 100
       FROM jobs j CROSS JOIN generate_series(0, {chunks} - 1) AS i""",
    "UPDATE jobs SET chunks_open = {chunks}",
)
_ATTEND = text("""
    INSERT INTO workers (id, name, hostname, pid, queues, slots, last_seen)
    VALUES (:id, 'bench', 'bench', 1, ARRAY[:queue], :slots, now() + interval '1 day')
""")


def fill(installation: Installation, tenants: int, chunks_each: int) -> None:
    """Put `tenants` clients with one job of `chunks_each` ready chunks each into the ledger."""
    with installation.owner.begin() as connection:
        for statement in _FILL:
            connection.exec_driver_sql(statement.format(tenants=tenants, chunks=chunks_each))
        connection.execute(
            _ATTEND, {"id": uuid4(), "queue": queues.VERIFICATION, "slots": PLACES // 2}
        )
    with installation.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
        connection.exec_driver_sql("CHECKPOINT")


def release_once(installation: Installation) -> tuple[float, int]:
    """Release, take back again; return the release's milliseconds and how many chunks it gave."""
    started = time.perf_counter()
    with system_scope(installation.app) as connection:
        released = ledger.release(connection, limit=256, unattended_window=4, presence_seconds=15)
    took = (time.perf_counter() - started) * 1000
    with system_scope(installation.app) as connection:
        ledger.recall(connection, [chunk.chunk_id for chunk in released])
    return took, len(released)


def run(scale: Scale) -> list[Figure]:
    """Fill the ledger and measure."""
    tenants, each = 1_000, scale.pick(1_000, 20)
    with run_installation() as installation:
        fill(installation, tenants, each)
        # The first plans the statement and warms the cache, as it has been in any dispatcher that runs.
        for _ in range(3):
            _, given = release_once(installation)
        rounds = [release_once(installation) for _ in range(ROUNDS)]
    took = [milliseconds for milliseconds, _ in rounds]
    assert {count for _, count in rounds} == {PLACES} == {given}
    return [
        Figure(
            "release_64",
            percentile(took, 0.5),
            "ms",
            target=Target(20, "most"),
            notes={
                "ready_chunks": tenants * each,
                "tenants": tenants,
                "rounds": ROUNDS,
                "min_ms": round(min(took), 2),
                "p95_ms": round(percentile(took, 0.95), 2),
                "max_ms": round(max(took), 2),
            },
        )
    ]
