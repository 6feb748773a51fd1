"""A job made in one statement: what stands in the ledger then, how many exchanges it takes, and what voids what is remembered."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import DBAPIError

from app.db.engine import app_engine
from app.db.scope import statement_scope, system_scope, tenant_scope
from app.jobs.new_job import NewJob, client_version, submit, submit_alone
from app.jobs.queries import get_job
from tests.factories import Tenant, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web
from tests.integration.test_enrichment_api import PATH, SINGLE

pytestmark = pytest.mark.usefixtures("web")


@pytest.fixture
def acme(web: Web) -> Tenant:
    return make_tenant()


@pytest.fixture
def ann(web: Web, acme: Tenant) -> Caller:
    return web.caller(make_person(acme))


def addresses(n: int, **more: Any) -> NewJob:
    leads = [{"email": f"p{i}@example.com"} for i in range(n)]
    return NewJob("email_validation", "verify", leads, chunk_rows=200, **more)


def chunks(job: object) -> list[tuple[int, int, bool]]:
    found = owner_sql(
        """SELECT coalesce(json_agg(json_build_array(first_item, last_item, run_at > clock_timestamp()) ORDER BY id), '[]')
           FROM chunks WHERE job_id = :j AND status = 'ready' AND kind = 'verify' AND priority = 2""",
        {"j": job},
    )
    return [tuple(chunk) for chunk in found]


def test_leads_are_cut_into_chunks(acme: Tenant) -> None:
    job = submit_alone(acme.id, addresses(450, priority=2))
    assert job is not None
    assert (job.status, job.total, job.duplicate_rows, job.done) == ("pending", 450, 0, 0)
    assert chunks(job.id) == [(1, 200, False), (201, 400, False), (401, 450, False)]
    assert owner_sql("SELECT chunks_open FROM jobs WHERE id = :j", {"j": job.id}) == 3
    assert owner_sql("SELECT count(*) FROM job_items WHERE job_id = :j", {"j": job.id}) == 450
    with tenant_scope(acme.id) as connection:
        assert get_job(connection, job.id) == job


def test_the_same_address_is_verified_once(acme: Tenant) -> None:
    leads = [{"email": f"{name}@example.com"} for name in "abacab"]
    job = submit_alone(acme.id, NewJob("email_validation", "verify", leads, chunk_rows=200))
    assert job is not None
    assert (job.total, job.duplicate_rows) == (6, 3)
    found = owner_sql(
        "SELECT json_object_agg(item_no, duplicate_of) FROM job_duplicates WHERE job_id = :j",
        {"j": job.id},
    )
    assert found == {"3": 1, "5": 1, "6": 2}


def test_a_job_for_later_is_due_later(acme: Tenant) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    job = submit_alone(acme.id, addresses(1, priority=2, scheduled_for=later))
    assert job is not None
    assert (job.status, job.scheduled_for) == ("scheduled", later)
    assert chunks(job.id) == [(1, 1, True)]
    past = submit_alone(acme.id, addresses(1, priority=2, scheduled_for=later - timedelta(days=1)))
    assert past is not None
    assert (past.status, chunks(past.id)) == ("pending", [(1, 1, False)])


def test_in_a_transaction_of_the_callers_it_is_undone_with_it(acme: Tenant) -> None:
    with tenant_scope(acme.id) as connection:
        job = submit(connection, acme.id, addresses(1))
        connection.rollback()
    assert owner_sql("SELECT count(*) FROM jobs WHERE id = :j", {"j": job.id}) == 0


def test_a_job_is_its_clients_alone(acme: Tenant) -> None:
    job = submit_alone(acme.id, addresses(1))
    assert job is not None
    with tenant_scope(make_tenant().id) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar_one() == 0
    with system_scope() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar_one() == 0


def test_nobody_makes_a_job_in_the_name_of_another_clients_person(acme: Tenant) -> None:
    other = make_tenant()
    for person in (make_person(other), make_person(role="operator")):
        with pytest.raises(DBAPIError, match="a person of its own client"):
            submit_alone(acme.id, addresses(1, created_by=person.id))
    count = "SELECT count(*) FROM jobs WHERE tenant_id = :t"
    assert owner_sql(count, {"t": acme.id}) == 0
    ann = make_person(acme)
    job = submit_alone(acme.id, addresses(1, created_by=ann.id))
    assert job is not None
    assert job.created_by == ann.email


def test_who_is_in_a_clients_scope_makes_no_job_of_another(acme: Tenant) -> None:
    other = make_tenant()
    with (
        pytest.raises(DBAPIError, match="its own client's scope"),
        tenant_scope(acme.id) as connection,
    ):
        submit(connection, other.id, addresses(1))
    assert owner_sql("SELECT count(*) FROM jobs WHERE tenant_id = :t", {"t": other.id}) == 0


def test_nothing_is_made_for_a_client_that_has_changed(acme: Tenant) -> None:
    with tenant_scope(acme.id) as connection:
        version = client_version(connection)
    assert submit_alone(acme.id, addresses(1, version=version)) is not None
    owner_sql("UPDATE tenants SET name = 'Another' WHERE id = :t", {"t": acme.id})
    assert submit_alone(acme.id, addresses(1, version=version)) is None
    assert owner_sql("SELECT count(*) FROM jobs WHERE tenant_id = :t", {"t": acme.id}) == 1


@pytest.mark.parametrize("named", [False, True])
def test_another_chain_holds_for_the_next_job(acme: Tenant, ann: Caller, *, named: bool) -> None:
    """Also of a request that settles a key: the whole is one transaction."""

    def chain() -> list[str]:
        said = {**SINGLE, "payload": {**SINGLE["payload"], "providerId": None}}
        headers = {"Idempotency-Key": str(uuid4())} if named else {}
        job = (ann.post(PATH, json=said, headers=headers).json or {})["id"]
        if named:
            again = ann.post(PATH, json=said, headers=headers)
            assert (again.json or {})["id"] == job
        return owner_sql("SELECT params -> 'chain' FROM jobs WHERE id = :j", {"j": job})

    for wanted in (["hunter"], ["clearbit", "apollo"], ["hunter"]):
        owner_sql(
            "UPDATE tenants SET enrichment_chain = :chain WHERE id = :t",
            {"t": acme.id, "chain": wanted},
        )
        assert chain() == wanted
        assert chain() == wanted


def test_a_connection_comes_back_as_it_was_also_after_an_error(acme: Tenant) -> None:
    with pytest.raises(DBAPIError), statement_scope() as connection:
        connection.exec_driver_sql("SELECT 1 / 0")
    for _ in range(app_engine().pool.size()):  # type: ignore[attr-defined] # of the class in use
        with system_scope() as connection:
            driver: Any = connection.connection.driver_connection
            assert driver.autocommit is False
    with statement_scope() as connection:
        first = connection.exec_driver_sql("SELECT now()").scalar_one()
        assert connection.exec_driver_sql("SELECT now()").scalar_one() > first
