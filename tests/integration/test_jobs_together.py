"""Jobs that are wanted at the same time are made by one transaction: none for lost, each for itself where one can't be made."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from app.db.engine import owner_engine
from app.db.scope import tenant_scope
from app.jobs.new_job import AskedBy, NewJob, submit_many
from app.jobs.queries import JobView, get_job
from app.jobs.together import MOST_LEADS, Together
from tests.conftest import ROOT, Environment
from tests.factories import Tenant, make_person, make_tenant, owner_sql

PATIENCE_SECONDS = 30.0
pytestmark = pytest.mark.usefixtures("module_environment")


class Noting:
    """Makes jobs as ever; the first time only when it `may`, so that others come meanwhile. Notes how many it made at a time."""

    def __init__(self) -> None:
        self.may = Event()
        self.sizes: list[int] = []

    def __call__(self, tenant_id: UUID, jobs: Sequence[NewJob]) -> list[JobView | None]:
        self.sizes.append(len(jobs))
        assert self.may.wait(PATIENCE_SECONDS)
        return submit_many(tenant_id, jobs)


@pytest.fixture
def acme() -> Tenant:
    return make_tenant()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def lead(**more: Any) -> NewJob:
    return NewJob("email_validation", "verify", [{"email": "p@example.com"}], 200, **more)


def wait_until(so: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_SECONDS
    while not so():
        assert time.monotonic() < ends
        time.sleep(0.005)


def jobs_of(tenant: Tenant) -> int:
    return int(owner_sql("SELECT count(*) FROM jobs WHERE tenant_id = :t", {"t": tenant.id}))


def submit_behind_one(
    pool: ThreadPoolExecutor, tenant: Tenant, jobs: Sequence[NewJob]
) -> tuple[Noting, list[Future[JobView | None]]]:
    """Have one job be made, slowly, and these wait for that, then be made."""
    noting = Noting()
    together = Together(many=noting)
    first = pool.submit(together.submit, tenant.id, lead())
    wait_until(lambda: bool(noting.sizes))
    rest = [pool.submit(together.submit, tenant.id, job) for job in jobs]
    wait_until(lambda: len(together._waiting[tenant.id]) == len(jobs))
    noting.may.set()
    assert first.result(PATIENCE_SECONDS) is not None
    return noting, rest


@contextmanager
def held_up(tenant: Tenant) -> Iterator[Any]:
    """Keep the client's row so that nobody can make a job; gives the connection that keeps it."""
    with owner_engine().begin() as connection:
        connection.execute(text("SELECT 1 FROM tenants WHERE id = :t FOR UPDATE"), {"t": tenant.id})
        yield connection


STUCK = "FROM pg_stat_activity WHERE query LIKE '%ledger_submit_many%' AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()"

BUSY = "FROM pg_stat_activity WHERE query LIKE '%ledger_submit_many%' AND state = 'active' AND pid <> pg_backend_pid()"


def stuck() -> int:
    return int(owner_sql(f"SELECT count(*) {STUCK}"))


def test_who_comes_meanwhile_is_served_by_one_transaction(
    acme: Tenant, pool: ThreadPoolExecutor
) -> None:
    noting, rest = submit_behind_one(pool, acme, [lead(title=str(n)) for n in range(5)])
    made = [future.result(PATIENCE_SECONDS) for future in rest]
    assert noting.sizes == [1, 5]
    assert [job.title for job in made if job] == ["0", "1", "2", "3", "4"]
    ids = [job.id for job in made if job]
    count = "SELECT count(DISTINCT xmin::text) FROM jobs WHERE id = ANY(:ids)"
    assert owner_sql(count, {"ids": ids}) == 1
    with tenant_scope(acme.id) as connection:
        assert [get_job(connection, job.id) for job in made if job] == made


def test_one_that_can_not_be_made_fails_alone(acme: Tenant, pool: ThreadPoolExecutor) -> None:
    stranger = make_person(make_tenant())
    jobs = [lead(), lead(created_by=stranger.id), lead()]
    noting, (one, bad, other) = submit_behind_one(pool, acme, jobs)
    with pytest.raises(DBAPIError, match="a person of its own client"):
        bad.result(PATIENCE_SECONDS)
    assert one.result(PATIENCE_SECONDS) is not None
    assert other.result(PATIENCE_SECONDS) is not None
    assert noting.sizes == [1, 3]
    assert jobs_of(acme) == 3


def test_one_that_is_out_of_date_is_left_out(acme: Tenant, pool: ThreadPoolExecutor) -> None:
    ann = make_person(acme)
    jobs = [
        lead(),
        lead(version="another"),
        lead(created_by=ann.id, caller=AskedBy("another")),
        lead(created_by=ann.id),
    ]
    _, rest = submit_behind_one(pool, acme, jobs)
    made = [future.result(PATIENCE_SECONDS) for future in rest]
    assert [job is not None for job in made] == [True, False, False, True]
    assert jobs_of(acme) == 3


def test_clients_do_not_wait_for_each_other(acme: Tenant, pool: ThreadPoolExecutor) -> None:
    together, other = Together(), make_tenant()
    with held_up(acme):
        waits = pool.submit(together.submit, acme.id, lead())
        wait_until(lambda: stuck() == 1)
        assert together.submit(other.id, lead()) is not None
        assert not waits.done()
    assert waits.result(PATIENCE_SECONDS) is not None


def test_a_large_job_goes_alone(acme: Tenant) -> None:
    noting = Noting()
    leads = [{"email": f"p{n}@example.com"} for n in range(MOST_LEADS + 1)]
    job = Together(many=noting).submit(acme.id, NewJob("email_validation", "verify", leads, 200))
    assert job is not None
    assert (job.total, noting.sizes) == (MOST_LEADS + 1, [])


def test_a_lost_connection_is_told_to_all_and_nothing_is_made(
    acme: Tenant, pool: ThreadPoolExecutor
) -> None:
    together = Together()
    with held_up(acme) as keeper:
        first = pool.submit(together.submit, acme.id, lead())
        wait_until(lambda: stuck() == 1)
        rest = [pool.submit(together.submit, acme.id, lead()) for _ in range(3)]
        wait_until(lambda: len(together._waiting[acme.id]) == 3)
        keeper.execute(text(f"SELECT pg_terminate_backend(pid) {STUCK}"))
        with pytest.raises(OperationalError):
            first.result(PATIENCE_SECONDS)
        wait_until(lambda: stuck() == 1)
        keeper.execute(text(f"SELECT pg_terminate_backend(pid) {STUCK}"))
        for future in rest:
            with pytest.raises(OperationalError):
                future.result(PATIENCE_SECONDS)
    assert jobs_of(acme) == 0
    assert together.submit(acme.id, lead()) is not None


_CHILD = """
import sys
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID
from app.jobs.new_job import NewJob
from app.jobs.together import together
job = lambda: NewJob("email_validation", "verify", [{"email": "p@example.com"}], 200)
def make(n):
    together.submit(UUID(sys.argv[1]), job())
    print("answered", flush=True)
with ThreadPoolExecutor(6) as pool:
    pool.submit(make, 0)
    while UUID(sys.argv[1]) not in together._waiting: pass
    list(pool.map(make, range(5)))
"""


def test_a_process_that_is_killed_has_answered_nobody_and_made_all_or_none(
    acme: Tenant, module_env: Environment
) -> None:
    argv = [sys.executable, "-c", _CHILD, str(acme.id)]
    with held_up(acme) as keeper:
        child = subprocess.Popen(argv, env=module_env, cwd=ROOT, stdout=subprocess.PIPE)
        wait_until(lambda: stuck() == 1)
        # It is tried again by itself, and the group of the others comes to stand beside it.
        keeper.execute(text(f"SELECT pg_cancel_backend(pid) {STUCK}"))
        wait_until(lambda: stuck() == 2)
        child.kill()
        said, _ = child.communicate(timeout=PATIENCE_SECONDS)
    assert said == b""
    wait_until(lambda: stuck() == 0 and owner_sql(f"SELECT count(*) {BUSY}") == 0)
    assert jobs_of(acme) in {0, 1, 5, 6}
    parts = """SELECT count(*) FROM jobs j JOIN chunks c ON c.job_id = j.id JOIN job_items i ON i.job_id = j.id
        WHERE j.tenant_id = :t"""
    assert owner_sql(parts, {"t": acme.id}) == jobs_of(acme)
