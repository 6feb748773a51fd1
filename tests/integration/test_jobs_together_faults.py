"""What goes wrong with jobs that are made together: nobody waits for ever, none is made twice, and all are told what is so."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from uuid import UUID

import psycopg2
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from app.db.engine import app_engine
from app.db.scope import tenant_scope
from app.jobs.new_job import NewJob, submit_many
from app.jobs.queries import JobView, get_job
from app.jobs.together import MOST_JOBS, Together
from tests.factories import Tenant, make_tenant, owner_sql
from tests.integration.test_jobs_together import (
    PATIENCE_SECONDS,
    STUCK,
    Noting,
    held_up,
    jobs_of,
    lead,
    stuck,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("module_environment")


@pytest.fixture
def acme() -> Tenant:
    return make_tenant()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(MOST_JOBS + 10) as pool:
        yield pool


class Breaking:
    """Makes jobs as ever; the second group is committed, or never begun, and then this is raised."""

    def __init__(self, error: BaseException, *, makes: bool) -> None:
        self.error = error
        self.makes = makes
        self.may = Event()
        self.groups = 0

    def __call__(self, tenant_id: UUID, jobs: Sequence[NewJob]) -> list[JobView | None]:
        self.groups += 1
        if self.groups == 2:
            if self.makes:
                submit_many(tenant_id, jobs)
            raise self.error
        assert self.may.wait(PATIENCE_SECONDS)
        return submit_many(tenant_id, jobs)


def submit_to(
    breaking: Breaking, pool: ThreadPoolExecutor, tenant: Tenant, count: int
) -> tuple[Together, list[Future[JobView | None]]]:
    """Have so many jobs be the second group."""
    together = Together(many=breaking)
    first = pool.submit(together.submit, tenant.id, lead())
    wait_until(lambda: breaking.groups == 1)
    rest = [pool.submit(together.submit, tenant.id, lead()) for _ in range(count)]
    wait_until(lambda: len(together._waiting[tenant.id]) == count)
    breaking.may.set()
    assert first.result(PATIENCE_SECONDS) is not None
    return together, rest


def cancel_stuck() -> None:
    # Each time by a transaction of its own: in one the list of backends stays as it was.
    owner_sql(f"SELECT count(pg_cancel_backend(pid)) {STUCK}")


class Ended(BaseException):
    """What ends a thread, past all that catches errors."""


def test_a_thread_that_is_ended_leaves_nobody_waiting(
    acme: Tenant, pool: ThreadPoolExecutor
) -> None:
    together, rest = submit_to(Breaking(Ended(), makes=False), pool, acme, 4)
    ends = [type(future.exception(PATIENCE_SECONDS)) for future in rest]
    assert sorted(end.__name__ for end in ends) == ["Ended"] + ["OperationalError"] * 3
    assert not together._waiting
    assert together.submit(acme.id, lead()) is not None
    assert jobs_of(acme) == 2


@pytest.mark.parametrize("code", [None, "57P01", "08006"])
def test_what_was_made_before_its_connection_ended_is_not_made_again(
    acme: Tenant, pool: ThreadPoolExecutor, code: str | None
) -> None:
    """Most often without an SQLSTATE, and with one where the server still said why."""
    lost = psycopg2.OperationalError("server closed the connection unexpectedly")
    lost.__setstate__({"pgcode": code})
    assert lost.pgcode == code
    _, rest = submit_to(Breaking(lost, makes=True), pool, acme, 3)
    for future in rest:
        with pytest.raises(OperationalError):
            future.result(PATIENCE_SECONDS)
    assert jobs_of(acme) == 4


def test_what_would_be_made_again_all_the_same_is_refused(acme: Tenant) -> None:
    job = lead()
    assert submit_many(acme.id, [job])
    with pytest.raises(psycopg2.errors.UniqueViolation):
        submit_many(acme.id, [job])
    assert jobs_of(acme) == 1


def test_a_connection_with_which_none_could_be_made_goes_to_nobody_else(acme: Tenant) -> None:
    """It would have no transactions, and so no client's scope."""
    app_engine().dispose()
    job = lead()
    assert submit_many(acme.id, [job])
    with pytest.raises(psycopg2.errors.UniqueViolation):
        submit_many(acme.id, [job])
    with tenant_scope(acme.id) as connection:
        assert get_job(connection, job.id).id == job.id


def test_a_group_that_was_given_up_is_made_one_by_one(
    acme: Tenant, pool: ThreadPoolExecutor
) -> None:
    """As when a statement takes too long, or two groups wait for each other."""
    noting = Noting()
    noting.may.set()
    together = Together(many=noting)
    with held_up(acme):
        first = pool.submit(together.submit, acme.id, lead())
        wait_until(lambda: stuck() == 1)
        rest = [pool.submit(together.submit, acme.id, lead()) for _ in range(3)]
        wait_until(lambda: len(together._waiting[acme.id]) == 3)
        cancel_stuck()
        # The first by itself, and the group of the others.
        wait_until(lambda: stuck() == 2 and noting.sizes == [1, 3])
        cancel_stuck()
        wait_until(lambda: stuck() == 3)
    with pytest.raises(DBAPIError, match="canceling statement"):
        first.result(PATIENCE_SECONDS)
    assert all(future.result(PATIENCE_SECONDS) for future in rest)
    assert jobs_of(acme) == 3


def test_no_group_is_larger_than_it_may_be_and_who_came_first_is_made_first(
    acme: Tenant, pool: ThreadPoolExecutor
) -> None:
    noting = Noting()
    together = Together(many=noting)
    futures = [pool.submit(together.submit, acme.id, lead(title="0"))]
    wait_until(lambda: noting.sizes == [1])
    for n in range(1, MOST_JOBS + 5):
        futures.append(pool.submit(together.submit, acme.id, lead(title=str(n))))
        wait_until(lambda n=n: len(together._waiting[acme.id]) == n)  # type: ignore[misc]
    noting.may.set()
    assert all(future.result(PATIENCE_SECONDS) for future in futures)
    assert noting.sizes == [1, MOST_JOBS, 4]
    assert not together._waiting
    titles = "SELECT string_agg(title, ' ' ORDER BY created_at, id) FROM jobs WHERE tenant_id = :t"
    given = [str(n) for n in range(MOST_JOBS + 5)]
    assert sorted(owner_sql(titles, {"t": acme.id}).split(), key=int) == given
    groups = """SELECT count(*) FROM (SELECT created_at, min(title::int) AS a, max(title::int) AS z FROM jobs
        WHERE tenant_id = :t GROUP BY created_at) g WHERE (a, z) IN ((0, 0), (1, :most), (:most + 1, :most + 4))"""
    assert owner_sql(groups, {"t": acme.id, "most": MOST_JOBS}) == 3


def test_jobs_of_a_group_are_noted_as_each_alone_would_be(acme: Tenant) -> None:
    jobs = [lead(), lead(), lead()]
    submit_many(acme.id, jobs)
    noted = (
        "SELECT count(DISTINCT job_id) FROM job_events WHERE tenant_id = :t AND what = 'created'"
    )
    figures = "SELECT sum(created) FROM job_figures WHERE tenant_id = :t"
    assert owner_sql(noted, {"t": acme.id}) == 3
    assert owner_sql(figures, {"t": acme.id}) == 3
    assert owner_sql("SELECT count(*) FROM chunks WHERE tenant_id = :t", {"t": acme.id}) == 3


def test_nobody_in_a_clients_scope_makes_jobs_of_another(acme: Tenant) -> None:
    with (
        tenant_scope(make_tenant().id) as connection,
        pytest.raises(DBAPIError, match="own client"),
    ):
        connection.exec_driver_sql("SELECT * FROM ledger_submit_many(%s, '[]')", (str(acme.id),))
