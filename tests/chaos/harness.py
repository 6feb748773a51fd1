"""A test's stage: clients, keys, workers and lists on the installation, and the judgement at the end.

The judgement is the same for every fault: each row answered exactly once, counters true, the job completed, not one
limit broken in the provider's own record, and no call repeated that no fault excuses.
"""

import os
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.db.engine import make_engine
from app.jobs.ids import new_job_id
from app.jobs.release import Released
from app.jobs.submit import create_job, cut_chunks
from devtools.processes import Process
from tests.chaos.evidence import Faults, count_repeats, paid_calls, violations
from tests.chaos.installation import SHORT_TIMES, Installation
from tests.chaos.provider_keys import give_key
from tests.chaos.waiting import wait_for
from tests.chaos.workers import START_SECONDS, Worker
from tests.conftest import ROOT
from tests.integration.ledger_world import World, totals_agree

LATENCY_MS = (50, 150)
CLIENT = "acme"
CHUNK_ROWS = int(SHORT_TIMES["CHUNK_ROWS"])


@dataclass(frozen=True)
class Outcome:
    """What a fault cost: for the table that the run prints and docs/faults.md repeats."""

    rows: int
    repeats: int
    allowed: int
    #: From the end of the last fault until the chunks that it hit are in hand again (where none was named: until
    #: the next row is recorded), and until the job's end.
    resumed_seconds: float
    completed_seconds: float


class Stage:
    """One test's use of the installation. `env` of a worker may differ from the others'."""

    def __init__(self, installation: Installation, logs: Path) -> None:
        self.installation = installation
        self.sandbox = installation.sandbox
        self.faults = Faults(LATENCY_MS[1] / 1e3)
        self.outcome: Outcome | None = None
        #: The secret of the first client's key.
        self.key = ""
        self._logs = logs
        self._workers: list[Worker] = []
        self._kept: list[Process] = []
        self._resumed: float | None = None
        self._ended = 0.0
        self._hit: dict[int, int] = {}
        url, owner = installation.database_url, installation.postgres.owner_url
        self.world = World(make_engine(url, role="laneway_app"), make_engine(owner, role=None))

    # --- setting up ------------------------------------------------------------------------------

    def open(self) -> None:
        """Empty every server and set up one client with one key."""
        with self.world.owner.begin() as c:
            c.execute(text("TRUNCATE tenants, workers, key_usage, job_items, job_results CASCADE"))
        with self.installation.redis.connect() as client:
            client.flushall()
        self.sandbox.reset()
        self.sandbox.set_mode(latency_ms=LATENCY_MS)
        self.key = self.add_client(CLIENT)

    def close(self) -> None:
        """End the processes and let the database go."""
        for worker in self._workers:
            worker.kill()
        for process in self._kept:
            process.kill()
        self.world.app.dispose()
        self.world.owner.dispose()

    def keep(self, process: Process) -> None:
        """End this process with the stage."""
        self._kept.append(process)

    def add_client(self, slug: str, **limits: Any) -> str:
        """Add a client with a key of its own (`give_key` knows its limits); return the key's secret."""
        return give_key(self.world, self.sandbox, self.world.add_tenant(slug), **limits)

    def submit(self, rows: int, *, client: str = CLIENT, special: Sequence[str] = ()) -> UUID:
        """Add a list of `rows` new addresses, the `special` ones first, in chunks; return its job."""
        job, mark = new_job_id(), secrets.token_hex(3)
        addresses = [*special, *(f"lead{n}.{mark}@example.com" for n in range(len(special), rows))]
        with self.world.scope(client) as c:
            create_job(c, kind="email_validation", title="chaos", params={}, job_id=job)
            leaf = c.execute(text("SELECT items_partition(:j)"), {"j": job}).scalar_one()
            c.execute(
                text(f"""INSERT INTO {leaf} (job_id, item_no, line_no, email, cells)
                    SELECT :j, n, n + 1, email, '[]'
                    FROM unnest(CAST(:emails AS text[])) WITH ORDINALITY AS t(email, n)"""),
                {"j": job, "emails": addresses},
            )
            c.execute(text("UPDATE jobs SET total_items = :n WHERE id = :j"), {"n": rows, "j": job})
            cut_chunks(c, job, "verify", rows, CHUNK_ROWS)
        return job

    def start_worker(self, name: str, **more: Any) -> Worker:
        """Start a worker without waiting for it; `env` overrides single variables."""
        env = self.installation.environment(**more.pop("env", {}))
        worker = Worker(name, env, self._logs / f"{name}.log", **more)
        self._workers.append(worker)
        worker.start()
        return worker

    def start_workers(self, *names: str, **more: Any) -> list[Worker]:
        """Start workers side by side and wait until all of them serve."""
        workers = [self.start_worker(name, **more) for name in names]
        for worker in workers:
            self.wait_until_serving(worker)
        return workers

    def wait_until_serving(self, worker: Worker) -> None:
        """Wait until a worker has announced itself in the table of workers."""

        def serves() -> bool:
            assert worker.is_running, f"{worker.name} ended:\n{worker.process.tail(40)}"
            return bool(self.world.rows("SELECT 1 FROM workers WHERE pid = :p", p=worker.pid))

        wait_for(serves, START_SECONDS, f"{worker.name} serves")

    def watch(self, chunks: Iterable[int]) -> None:
        """Name the chunks that the coming fault hits: `resumed_seconds` is when all are in hand again."""
        rows = self.world.rows("SELECT id, fence FROM chunks WHERE id = ANY (:c)", c=list(chunks))
        self._hit = {int(str(row["id"])): int(str(row["fence"])) for row in rows}

    def dispatch(self) -> int:
        """Dispatch from this very process, as the web does when a list arrives."""
        from celery_config import celery_app
        from tasks import dispatcher

        return dispatcher.dispatch(celery_app)

    def publish(self, released: Sequence[Released]) -> int:
        """Send the wake-ups of a release from this very process."""
        from celery_config import celery_app
        from tasks import dispatcher

        return dispatcher.publish(celery_app, released)

    def run_module(self, name: str, seconds: float = 60) -> int:
        """Run `python -m name` on the installation and return its exit code."""
        process = Process(
            name=name,
            argv=[sys.executable, "-m", name],
            log=self._logs / f"{name}.log",
            env=self.installation.environment(),
            cwd=ROOT,
        )
        process.start()
        return process.wait(seconds)

    def lock_a_chunk(self, connection: Connection, job: UUID, status: str = "running") -> int:
        """Lock a chunk of the job in an open transaction, as a record does (a take: a released one); return its id."""
        tenant = self.world.job(job)["tenant_id"]
        connection.execute(
            text("SELECT set_config('laneway.tenant_id', :t, true)"), {"t": str(tenant)}
        )
        lock = text("SELECT id FROM chunks WHERE job_id = :j AND status = :s LIMIT 1 FOR UPDATE")
        return (
            wait_for(
                lambda: connection.execute(lock, {"j": job, "s": status}).scalar(),
                40,
                f"a chunk is {status}",
            )
            or 0
        )

    # --- looking ---------------------------------------------------------------------------------

    def recorded(self, job: UUID) -> int:
        """Return how many rows have an answer; -1 while PostgreSQL is away."""
        try:
            found = self.world.rows(
                "SELECT count(*) AS n FROM job_results WHERE job_id = :j", j=job
            )
        except DBAPIError:
            return -1
        return int(str(found[0]["n"]))

    def chunks(self, job: UUID, status: str) -> list[dict[str, Any]]:
        """Return the job's chunks of one status."""
        return self.world.rows(
            "SELECT * FROM chunks WHERE job_id = :j AND status = :s ORDER BY id", j=job, s=status
        )

    def chunks_of(self, worker: Worker) -> list[int]:
        """Return the ids of the chunks that a worker holds."""
        rows = self.world.rows(
            """SELECT c.id FROM chunks c JOIN workers w ON w.id = c.leased_by
               WHERE c.status = 'running' AND w.pid = :p ORDER BY c.id""",
            p=worker.pid,
        )
        return [int(str(row["id"])) for row in rows]

    def wait_recorded(self, job: UUID, rows: int, seconds: float = 40) -> None:
        """Wait until at least `rows` rows have an answer."""
        with self.explained(job):
            wait_for(lambda: self.recorded(job) >= rows, seconds, f"{rows} rows recorded")

    def wait_called(self, calls: int, seconds: float = 40) -> None:
        """Wait until the provider has seen so many calls."""
        wait_for(lambda: self.sandbox.summary()["calls"] >= calls, seconds, f"{calls} calls")

    def wait_unrecorded(self, *jobs: UUID, calls: int = 12, seconds: float = 40) -> None:
        """Wait until so many calls are under way or not yet recorded: the worst moment for a fault."""
        with self.explained(*jobs):
            wait_for(
                lambda: self.sandbox.summary()["charged"] - sum(map(self.recorded, jobs)) >= calls,
                seconds,
                f"{calls} calls are not recorded",
            )

    def wait_busy(self, worker: Worker, chunks: int = 1, seconds: float = 40) -> list[int]:
        """Wait until a worker holds some chunks; return them."""
        return (
            wait_for(
                lambda: len(held := self.chunks_of(worker)) >= chunks and held,
                seconds,
                f"{worker.name} holds {chunks} chunks",
            )
            or []
        )

    def wait_asking(self) -> None:
        """Wait until a worker is blocked in Redis, asking for work."""
        with self.installation.redis.connect() as client:
            wait_for(
                lambda: any(
                    c["cmd"] == "brpop" and "b" in c["flags"] for c in client.client_list()
                ),
                20,
                "a worker asks for work",
            )

    def messages(self, queue: str = "verification-queue") -> int:
        """Return how many messages wait in Redis."""
        with self.installation.redis.connect() as client:
            return int(client.llen(queue))

    # --- the end ---------------------------------------------------------------------------------

    def wait_completed(self, *jobs: UUID, seconds: float = 90, restart: bool = False) -> None:
        """Wait for the jobs' end. With `restart` dead workers are started again, as a supervisor would."""
        before = sum(map(self.recorded, jobs))

        def is_complete() -> bool:
            try:
                if self._resumed is None and self._is_resumed(jobs, before):
                    self._resumed = time.time()
                return all(self.world.job(job)["status"] == "completed" for job in jobs)
            except DBAPIError:
                return False

        def tend() -> None:
            for worker in self._workers if restart else []:
                if not worker.is_running:
                    with self.faults.strike("a worker died"):
                        worker.start()

        with self.explained(*jobs):
            wait_for(is_complete, seconds, "the job completed", meanwhile=tend)
        self._ended = time.time()

    def wait_hit_resumed(self, seconds: float) -> None:
        """Wait until all watched chunks are in somebody's hands again."""
        wait_for(lambda: self._is_resumed((), 0), seconds, f"resumed: {self._hit}")
        self._resumed = time.time()

    def wait_leases_over(self, job: UUID, seconds: float = 20) -> None:
        """Wait until no lease of the job is in force."""
        wait_for(
            lambda: (
                not self.world.rows(
                    "SELECT 1 FROM chunks WHERE job_id = :j AND lease_until > clock_timestamp()",
                    j=job,
                )
            ),
            seconds,
            "every lease has run out",
        )

    def _is_resumed(self, jobs: Sequence[UUID], before: int) -> bool:
        if not self._hit:
            return sum(map(self.recorded, jobs)) > before
        rows = self.world.rows(
            "SELECT id, fence, status FROM chunks WHERE id = ANY (:c)", c=list(self._hit)
        )
        return all(
            row["status"] in ("done", "dead")
            or (row["status"] == "running" and row["fence"] != self._hit[int(str(row["id"]))])
            for row in rows
        )

    @contextmanager
    def explained(self, *jobs: UUID) -> Iterator[None]:
        """Add how things stand to what fails in the block."""
        try:
            yield
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{self.describe(*jobs)}") from None

    def describe(self, *jobs: UUID) -> str:
        """Tell how things stand, for the message of a failed test."""
        lines = []
        for job in jobs:
            chunks = self.world.rows(
                """SELECT status, attempts, fence, queue, done_items, run_at > now() AS later, count(*) AS n
                   FROM chunks WHERE job_id = :j GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1""",
                j=job,
            )
            lines.append(
                f"{self.recorded(job)} rows recorded of {self.world.job(job)['total_items']}"
            )
            lines += [str(chunk) for chunk in chunks]
        lines.append(f"holds: {self.world.rows('SELECT * FROM lane_holds')}")
        if self.installation.redis.is_running:
            lines.append(f"messages: {self.messages()}")
        for worker in self._workers:
            lines.append(f"--- {worker.name} (running: {worker.is_running})")
            lines.append(worker.process.tail(15))
        return os.linesep.join(lines)

    def judge(self, *jobs: UUID, failures: int = 0, none_repeated: bool = False) -> Outcome:
        """Check what must hold after every fault; `failures` rows may have no verdict."""
        rows = 0
        for job in jobs:
            self.judge_rows(job, failures)
            rows += self.recorded(job)
        broken = violations(self.sandbox, self.faults)
        assert not broken, self.faults.timeline(broken)
        repeats = count_repeats(paid_calls(self.sandbox), self.faults)
        assert not repeats.unexcused, self.faults.timeline(
            paid_calls(self.sandbox), repeats.unexcused
        )
        assert repeats.extra <= (0 if none_repeated else repeats.allowed), repeats
        over = self.faults.over_at
        self.outcome = Outcome(
            rows,
            repeats.extra,
            repeats.allowed,
            max(0.0, (self._resumed or self._ended) - over) if over else 0.0,
            max(0.0, self._ended - over) if over else 0.0,
        )
        return self.outcome

    def judge_rows(self, job: UUID, failures: int = 0) -> None:
        """Check that each row of a job is answered once, `failures` of them without a verdict, and the counters."""
        found = self.world.job(job)
        assert found["status"] == "completed", found
        assert found["done_items"] == found["total_items"] == self.recorded(job)
        assert found["chunks_open"] == 0
        # (job, item) is the primary key of results: as many as items, each for an item, is once each.
        missing = self.world.rows(
            """SELECT i.item_no FROM job_items i LEFT JOIN job_results r USING (job_id, item_no)
               WHERE i.job_id = :j AND r.item_no IS NULL""",
            j=job,
        )
        assert not missing
        failed = self.world.rows(
            "SELECT item_no, code, message FROM job_results WHERE job_id = :j AND is_failure", j=job
        )
        assert len(failed) == failures == found["failed_items"], failed[:3]
        totals_agree(self.world, job)
