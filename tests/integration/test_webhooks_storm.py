"""Everything at once: jobs end, events are spread, runs lose their leases, receivers fail, people replay and switch off.

No two of them may wait for each other in a circle, no event may be lost, and each job's events succeed in their order.
"""

import asyncio
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from sqlalchemy import text

from app.db.scope import system_scope, tenant_scope
from app.jobs import release as ledger
from app.webhooks import endpoints, keeping
from tests.factories import Tenant, make_job, owner_sql
from tests.integration.webhook_world import (
    Received,
    Receiver,
    Reply,
    add,
    make_due,
    release,
    run_all,
)

pytestmark = pytest.mark.usefixtures("webhooks_only")
JOBS = 15
ENDERS = 3
#: For what is still open when all jobs have ended.
SECONDS = 60.0
END = text("UPDATE jobs SET status = :s, updated_at = clock_timestamp() WHERE id = :j")
LOCK = text("SELECT 1 FROM chunks WHERE job_id = :j ORDER BY id FOR UPDATE")


def end_in_order(tenant: Tenant, jobs: list[UUID]) -> None:
    """Bring jobs to two ends, as a worker does: with its chunk locked first."""
    for job in jobs:
        for status in ("failed", "processing", "completed"):
            with tenant_scope(tenant.id) as c:
                c.execute(LOCK, {"j": job})
                c.execute(END, {"s": status, "j": job})


def keep() -> None:
    with system_scope() as c:
        keeping.spread(c)
    with system_scope() as c:
        keeping.sweep_progress(c)
    with system_scope() as c:
        keeping.wake(c)


def rob(chance: random.Random) -> None:
    """Let a lease of some run end, and have it recovered."""
    if chance.random() < 0.1:
        owner_sql("""UPDATE chunks SET lease_until = now() - interval '1 s' WHERE id = (
            SELECT id FROM chunks WHERE kind = 'deliver' AND status = 'running' LIMIT 1 FOR UPDATE SKIP LOCKED)""")
    with system_scope() as c:
        # The cap is far away: this is about leases that are lost, not about poison.
        ledger.recover(c, 1000)


def run() -> None:
    asyncio.run(run_all(release()))


@dataclass
class Storm:
    """Acts that are repeated side by side until it is over, or one of them fails."""

    over: threading.Event = field(default_factory=threading.Event)
    errors: list[Exception] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def begin(self, *acts: Callable[[], object]) -> None:
        self.threads = [threading.Thread(target=self._repeat, args=(act,)) for act in acts]
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _repeat(self, act: Callable[[], object]) -> None:
        while not self.over.is_set():
            try:
                act()
            except Exception as error:  # noqa: BLE001 - whatever it is, the test says it
                self.errors.append(error)
                self.over.set()


def left() -> int:
    """Return how many events and deliveries are not over."""
    return int(
        owner_sql("""SELECT (SELECT count(*) FROM webhook_events WHERE NOT is_spread) + (
            SELECT count(*) FROM webhook_deliveries WHERE status IN ('pending', 'waiting'))""")
    )


def test_a_storm(receiver: Receiver, tenant: Tenant) -> None:
    chance, succeeded, lock = random.Random(7), defaultdict[str, list[str]](list), threading.Lock()

    def answer(got: Received) -> Reply:
        with lock:
            if chance.random() < 0.15:
                return Reply(500)
            succeeded[f"{got.path} {got.event['data']['job']['id']}"].append(got.type)
        return Reply()

    receiver.answer = answer
    for number in range(3):
        add(tenant, f"{receiver.url}/{number}", "job.failed", "job.completed")
    # One more is switched off and on all the time.
    restless, _ = add(tenant, f"{receiver.url}/restless", "job.failed", "job.completed")

    def switch() -> None:
        with tenant_scope(tenant.id) as c:
            endpoints.disable_endpoint(c, restless)
        with tenant_scope(tenant.id) as c:
            endpoints.enable_endpoint(c, restless)

    jobs, storm = [make_job(tenant, 1) for _ in range(JOBS)], Storm()
    storm.begin(keep, lambda: rob(chance), run, run, switch, make_due)
    enders = [
        threading.Thread(target=end_in_order, args=(tenant, jobs[n::ENDERS])) for n in range(ENDERS)
    ]
    for thread in enders:
        thread.start()
    for thread in enders:
        thread.join()
    deadline = time.monotonic() + SECONDS
    while not storm.over.wait(0.1) and left() and time.monotonic() < deadline:
        pass
    storm.end()
    assert storm.errors == []
    assert left() == 0
    assert owner_sql("SELECT count(*) FROM webhook_deliveries WHERE status = 'failed'") == 0
    for key in (f"/hook/{number} {job}" for number in range(3) for job in jobs):
        assert list(dict.fromkeys(succeeded[key])) == ["job.failed", "job.completed"], key
    circles = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert owner_sql(circles) == 0
