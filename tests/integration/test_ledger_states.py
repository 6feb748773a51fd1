"""The ledger under any order of acts: no item lost, none recorded twice, counters true.

A hypothesis state machine drives submit, release, lease, record, expire, finish, put back, cancel, re-route and retry
against a real PostgreSQL. Workers that lost their chunk keep acting, as a frozen process does when it wakes.
"""

from collections.abc import Iterator
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, text

from app.db.engine import make_engine
from app.db.scope import tenant_scope
from app.errors import Conflict
from app.jobs import control
from app.jobs.lease import Lease
from app.jobs.release import Released
from tests.integration.ledger_world import World, answer, totals_agree

TENANTS = ("acme", "birch")
PICK = st.integers(0, 1000)


@pytest.fixture(scope="module")
def engines(database_url: str, owner_url: str) -> Iterator[tuple[Engine, Engine]]:
    app, owner = make_engine(database_url, role="laneway_app"), make_engine(owner_url, role=None)
    yield app, owner
    app.dispose()
    owner.dispose()


class LedgerMachine(RuleBasedStateMachine):
    """What dispatchers, workers and people may do, in any order."""

    engines: tuple[Engine, Engine]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(*self.engines)
        self.world.empty()
        self.jobs: dict[UUID, tuple[str, int]] = {}
        self.cancelled: set[UUID] = set()
        # Lists, not hypothesis' bundles: which tenant's turn it is is left to chance by the release.
        self.messages: list[Released] = []
        self.leases: list[tuple[Lease, list[int]]] = []
        for slug in TENANTS:
            self.world.add_tenant(slug)
            self.world.add_user(slug, f"{slug}@example.com")
        self.world.attend("verification-queue", 3)
        self.world.attend("verification-queue:client-acme", 2)

    @initialize(twins=st.booleans())
    def begin(self, twins: bool) -> None:
        """Start amid work: from nothing, few orders come as far as two workers with one chunk."""
        for slug in TENANTS:
            self.submit(slug, 8, 4, twins)
        self._take_all()

    @rule(which=PICK)
    def hand_over(self, which: int) -> None:
        """Let a lease run out and another worker have the chunk; the first one goes on as if nothing were."""
        if self.leases:
            self.expire(which)
            self.time_passes()
            self._take_all()

    def _take_all(self) -> None:
        before = len(self.messages)
        self.release()
        for message in self.messages[before:]:
            if taken := self.world.take(message):
                self.leases.append(taken)

    @rule(
        slug=st.sampled_from(TENANTS),
        rows=st.integers(1, 12),
        size=st.integers(1, 5),
        twins=st.booleans(),
    )
    def submit(self, slug: str, rows: int, size: int, twins: bool) -> None:
        if len(self.jobs) < 4:
            self.jobs[self.world.submit(slug, rows, size=size, twins=twins)] = (slug, rows)

    @rule()
    def release(self) -> None:
        released = self.world.release()
        for chunk in released:
            lane = self.world.rows(
                "SELECT queue FROM tenant_lanes WHERE tenant_id = :t", t=chunk.tenant_id
            )
            assert chunk.queue == (lane[0]["queue"] if lane else "verification-queue")
        self.messages.extend(released)

    @rule(which=PICK)
    def take(self, which: int) -> None:
        if not self.messages:
            return
        message = self.messages[which % len(self.messages)]
        taken = self.world.take(message)
        # A message is delivered twice now and then; the second must find nothing.
        assert self.world.take(message) is None
        if taken:
            self.leases.append(taken)

    @rule(which=PICK, share=st.floats(0, 1), failure=st.booleans())
    def record(self, which: int, share: float, failure: bool) -> None:
        if not self.leases:
            return
        lease, items = self.leases[which % len(self.leases)]
        some = items[: round(len(items) * share)]
        kept = self.world.record(
            lease, [answer(no, "unknown" if failure else "valid", failure=failure) for no in some]
        )
        assert kept.held == self._still_held(lease)
        if not kept.held:
            assert kept.recorded == 0

    @rule(which=PICK)
    def complete(self, which: int) -> None:
        if not self.leases:
            return
        lease, items = self.leases[which % len(self.leases)]
        owned = self._still_held(lease)
        kept = self.world.record(lease, [answer(no) for no in items])
        assert kept.held == owned
        assert self.world.finish(lease, "cancelled" if kept.cancel else "done") == owned

    @rule(which=PICK)
    def put_back(self, which: int) -> None:
        if not self.leases:
            return
        lease, _ = self.leases[which % len(self.leases)]
        owned = self._still_held(lease)
        assert self.world.put_back(lease) == owned

    @rule(which=PICK)
    def expire(self, which: int) -> None:
        if self.leases:
            self.world.expire(self.leases[which % len(self.leases)][0].chunk_id)
            self.world.recover(attempts=3)

    @rule()
    def time_passes(self) -> None:
        self.world.make_due()

    @rule()
    def lose_messages(self) -> None:
        self.world.rows(
            "SELECT ledger_recall(ARRAY(SELECT id FROM chunks WHERE status = 'released'))"
        )

    @rule(
        queue=st.sampled_from(["verification-queue:client-acme", "verification-queue:client-new"]),
        active=st.booleans(),
    )
    def reroute(self, queue: str, active: bool) -> None:
        with self.world.owner.begin() as c:
            c.execute(text("DELETE FROM worker_configs"))
            c.execute(
                text("""INSERT INTO worker_configs (user_id, worker_mode, verification_queue, is_active)
                        SELECT id, 'dedicated', :q, :a FROM users WHERE email = 'acme@example.com'"""),
                {"q": queue, "a": active},
            )
        stranded = self.world.rows(
            """SELECT id FROM chunks WHERE status = 'released' AND tenant_id = :t AND queue <> coalesce(
                   (SELECT l.queue FROM tenant_lanes l WHERE l.tenant_id = :t), 'verification-queue')""",
            t=self.world.tenants["acme"],
        )
        assert not stranded, "a re-route leaves nothing on the old lane"

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.jobs:
            job = data.draw(st.sampled_from(sorted(self.jobs)))
            with tenant_scope(self.world.tenants[self.jobs[job][0]], self.world.app) as c:
                try:
                    control.cancel(c, job)
                    self.cancelled.add(job)
                except Conflict:
                    assert self.world.job(job)["status"] == "completed"

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        if self.jobs:
            job = data.draw(st.sampled_from(sorted(self.jobs)))
            with tenant_scope(self.world.tenants[self.jobs[job][0]], self.world.app) as c:
                try:
                    control.retry_failed(c, job)
                except Conflict:
                    c.rollback()

    def _still_held(self, lease: Lease) -> bool:
        return bool(
            self.world.rows(
                "SELECT 1 FROM chunks WHERE id = :i AND fence = :f AND status = 'running'",
                i=lease.chunk_id,
                f=lease.fence,
            )
        )

    @invariant()
    def counters_are_true(self) -> None:
        for job in self.jobs:
            totals_agree(self.world, job)

    @invariant()
    def no_item_is_lost(self) -> None:
        """Every row has a result, or lies in an open chunk, or its job was cancelled."""
        lost = self.world.rows("""
            SELECT i.job_id, i.item_no FROM job_items i JOIN jobs j ON j.id = i.job_id
            LEFT JOIN job_results r ON r.job_id = i.job_id AND r.item_no = i.item_no
            LEFT JOIN job_duplicates d ON d.job_id = i.job_id AND d.item_no = i.item_no
            WHERE r.job_id IS NULL AND j.status <> 'cancelled' AND NOT EXISTS (
                SELECT 1 FROM chunks c WHERE c.job_id = i.job_id AND c.status IN ('ready', 'released', 'running')
                  AND coalesce(d.duplicate_of, i.item_no) BETWEEN c.first_item AND c.last_item)""")
        assert lost == []

    def teardown(self) -> None:
        """Left alone with a willing worker, every job ends and every row has exactly one answer."""
        for _ in range(200):
            self.lose_messages()
            self.world.make_due()
            self.world.rows(
                "UPDATE chunks SET lease_until = now() - interval '1 s' WHERE status = 'running' RETURNING id"
            )
            self.world.recover(attempts=1000)
            released = self.world.release()
            for message in released:
                taken = self.world.take(message)
                if taken:
                    lease, items = taken
                    self.world.record(lease, [answer(no) for no in items])
                    self.world.finish(lease)
            if not self.world.rows(
                "SELECT 1 FROM chunks WHERE status IN ('ready', 'released', 'running')"
            ):
                break
        for job, (_, rows) in self.jobs.items():
            totals_agree(self.world, job)
            found = self.world.job(job)
            answered = self.world.rows(
                "SELECT count(*) AS n FROM job_results WHERE job_id = :j", j=job
            )[0]["n"]
            if job in self.cancelled:
                assert found["status"] == "cancelled"
            else:
                assert (found["status"], answered, found["chunks_open"]) == ("completed", rows, 0)


def test_any_order_of_acts_loses_nothing_and_repeats_nothing(
    engines: tuple[Engine, Engine],
) -> None:
    machine = type("Machine", (LedgerMachine,), {"engines": engines})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
