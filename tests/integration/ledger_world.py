"""A small world for tests of the ledger: tenants, jobs with items, and the acts of dispatchers and workers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text

from app.db.scope import system_scope, tenant_scope
from app.jobs import lease as ledger
from app.jobs import records
from app.jobs import release as releasing
from app.jobs.ids import new_job_id
from app.jobs.lease import Lease
from app.jobs.records import Outcome
from app.jobs.submit import create_job, cut_chunks


def answer(item_no: int, verdict: str = "valid", *, failure: bool = False) -> Outcome:
    """Return an outcome for an item."""
    return Outcome(item_no, verdict, "ok", "Accepted", None, "test", datetime.now(UTC), failure)


@dataclass
class World:
    """Acts on the ledger as the application's role (`app`) and looks at it as the owner (`owner`)."""

    app: Engine
    owner: Engine
    tenants: dict[str, UUID] = field(default_factory=dict)
    worker: UUID = field(default_factory=uuid4)

    def add_tenant(self, slug: str, *, weight: int = 1) -> UUID:
        with self.owner.begin() as c:
            self.tenants[slug] = c.execute(
                text("INSERT INTO tenants (slug, name, weight) VALUES (:s, :s, :w) RETURNING id"),
                {"s": slug, "w": weight},
            ).scalar_one()
        return self.tenants[slug]

    def add_user(self, slug: str, email: str, user_id: UUID | None = None) -> UUID:
        with self.owner.begin() as c:
            return c.execute(
                text("""INSERT INTO users (id, tenant_id, email, role, password_hash)
                        VALUES (:i, :t, :e, 'member', 'x') RETURNING id"""),
                {"i": user_id or uuid4(), "t": self.tenants[slug], "e": email},
            ).scalar_one()

    @contextmanager
    def scope(self, slug: str) -> Iterator[Connection]:
        with tenant_scope(self.tenants[slug], self.app) as connection:
            yield connection

    def submit(
        self, slug: str, rows: int, *, size: int = 10, priority: int = 3, twins: bool = False
    ) -> UUID:
        """Add a job of `rows` items in chunks of `size`; with `twins` every second row repeats the one before."""
        job = new_job_id()
        with self.scope(slug) as c:
            create_job(
                c, kind="email_validation", title="t", params={}, priority=priority, job_id=job
            )
            leaf = c.execute(text("SELECT items_partition(:j)"), {"j": job}).scalar_one()
            c.execute(
                text(f"""INSERT INTO {leaf} (job_id, item_no, line_no, email, cells)
                    SELECT :j, n, n + 1, 'lead' || CASE WHEN :twins THEN (n + 1) / 2 ELSE n END || '@example.com', '[]'
                    FROM generate_series(1, :rows) AS n"""),
                {"j": job, "rows": rows, "twins": twins},
            )
            if twins:
                c.execute(
                    text("""INSERT INTO job_duplicates (job_id, item_no, duplicate_of)
                            SELECT :j, n, n - 1 FROM generate_series(2, :rows, 2) AS n"""),
                    {"j": job, "rows": rows},
                )
            c.execute(text("UPDATE jobs SET total_items = :n WHERE id = :j"), {"n": rows, "j": job})
            cut_chunks(c, job, "verify", rows, size)
        return job

    def attend(self, queue: str, slots: int) -> None:
        """Let a live worker with `slots` serve `queue`."""
        with self.owner.begin() as c:
            c.execute(
                text("""INSERT INTO workers (id, name, hostname, pid, queues, slots, last_seen)
                        VALUES (:i, 'w', 'h', 1, ARRAY[:q], :s, now() + interval '1 day')"""),
                {"i": uuid4(), "q": queue, "s": slots},
            )

    def release(self, limit: int = 1000, window: int = 4) -> list[releasing.Released]:
        with system_scope(self.app) as c:
            return releasing.release(c, limit=limit, unattended_window=window, presence_seconds=15)

    def release_all(self, limit: int) -> list[releasing.Released]:
        """Release in batches until one is not full, as a dispatcher does."""
        chunks = batch = self.release(limit)
        while len(batch) == limit:
            batch = self.release(limit)
            chunks = chunks + batch
        return chunks

    def take(
        self, chunk: releasing.Released, seconds: float = 60
    ) -> tuple[Lease, list[int]] | None:
        with tenant_scope(chunk.tenant_id, self.app) as c:
            lease = ledger.take(c, chunk.chunk_id, chunk.fence, worker=self.worker, seconds=seconds)
            return lease and (lease, [no for no, _ in ledger.pending_items(c, lease)])

    def record(self, lease: Lease, outcomes: list[Outcome]) -> records.Recorded:
        with tenant_scope(lease.tenant_id, self.app) as c:
            return records.record(c, lease, outcomes, seconds=60)

    def finish(self, lease: Lease, status: str = "done") -> bool:
        with tenant_scope(lease.tenant_id, self.app) as c:
            return ledger.finish(c, lease, status)

    def put_back(self, lease: Lease) -> bool:
        with tenant_scope(lease.tenant_id, self.app) as c:
            return ledger.put_back(c, lease, datetime.now(UTC))

    def expire(self, chunk_id: int) -> None:
        """Let a lease run out."""
        with self.owner.begin() as c:
            c.execute(
                text(
                    "UPDATE chunks SET lease_until = now() - interval '1 s' WHERE id = :i AND status = 'running'"
                ),
                {"i": chunk_id},
            )

    def make_due(self) -> None:
        """Let the time of every deferred chunk come."""
        with self.owner.begin() as c:
            c.execute(
                text("UPDATE chunks SET run_at = now() - interval '1 s' WHERE status = 'ready'")
            )

    def recover(self, attempts: int = 3) -> list[releasing.Recovered]:
        with system_scope(self.app) as c:
            return releasing.recover(c, attempts)

    def rows(self, sql: str, **values: object) -> list[dict[str, object]]:
        """Look at anything, as the owner."""
        with self.owner.begin() as c:
            return [dict(row) for row in c.execute(text(sql), values).mappings()]

    def job(self, job_id: UUID) -> dict[str, object]:
        return self.rows("SELECT * FROM jobs WHERE id = :j", j=job_id)[0]

    def empty(self) -> None:
        """Take everything away."""
        with self.owner.begin() as c:
            c.execute(
                text("""TRUNCATE tenants, workers, job_items, job_results, audit_events, lane_attendance, lookup_claims, shared_answers
                        CASCADE""")
            )
        self.tenants.clear()


def totals_agree(world: World, job_id: UUID) -> None:
    """Check the job's counters against what lies in the tables."""
    job = world.job(job_id)
    counted = world.rows(
        "SELECT verdict, count(*) AS n FROM job_results WHERE job_id = :j GROUP BY verdict",
        j=job_id,
    )
    open_counts = world.rows(
        """SELECT coalesce(sum(done_items), 0) AS done, count(*) AS n FROM chunks
           WHERE job_id = :j AND status IN ('ready', 'released', 'running')""",
        j=job_id,
    )[0]
    assert job["chunks_open"] == open_counts["n"]
    assert job["done_items"] + open_counts["done"] == sum(row["n"] for row in counted)
    if open_counts["n"] == 0:
        assert job["counts"] == {row["verdict"]: row["n"] for row in counted}, json.dumps(
            job["counts"]
        )
