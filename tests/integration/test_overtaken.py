"""Two acts that wait for each other: one of them is ended by the database, and is told to try again, not that the database is away."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from werkzeug.test import TestResponse

from app.db.engine import owner_engine
from tests.factories import Person, make_job, make_lane, make_person, make_tenant, owner_sql
from tests.integration.client_world import wait_until
from tests.integration.http_world import Web

WAITS = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()"""


@pytest.fixture
def person(web: Web) -> Person:
    return make_person(make_tenant())


def overtake(act: Callable[[], TestResponse], *, holds: str, wants: str) -> TestResponse:
    """Hold rows that the act comes to last, then want those that it has; return what the act is told."""
    with ThreadPoolExecutor(1) as pool, owner_engine().connect() as other:
        # The other one looks for the circle too late to be the one that gives way.
        other.exec_driver_sql("SET LOCAL deadlock_timeout = '1min'")
        other.exec_driver_sql(holds)
        acting = pool.submit(act)
        wait_until(lambda: owner_sql(WAITS), "the act waits for what is held")
        other.exec_driver_sql(wants)
        answer = acting.result(20)
        other.rollback()
    return answer


def assert_told(answer: TestResponse) -> None:
    assert (answer.status_code, answer.json["code"]) == (409, "overtaken")
    assert answer.headers["Retry-After"] == "1"
    assert "nothing of your change was made" in answer.json["detail"]


def test_who_cancels_a_job_and_gives_way_may_do_it_again_at_once(web: Web, person: Person) -> None:
    assert person.tenant
    caller, job = web.caller(person), make_job(person.tenant, 30, chunk_rows=10)
    path = f"/api/enrichment/jobs/{job}"
    answer = overtake(
        lambda: caller.delete(path),
        holds=f"SELECT 1 FROM jobs WHERE id = '{job}' FOR UPDATE",
        wants=f"SELECT 1 FROM chunks WHERE job_id = '{job}' FOR UPDATE",
    )
    assert_told(answer)
    assert owner_sql("SELECT status FROM jobs WHERE id = :job", {"job": job}) == "pending"
    assert caller.delete(path).json["status"] == "cancelled"


def test_operators_are_told_the_same(web: Web, person: Person) -> None:
    assert person.tenant
    slug = person.tenant.slug
    make_lane(person, f"verification-queue:client-{slug}")
    operator = web.caller(make_person(role="operator"))

    def roll_back() -> TestResponse:
        return operator.call("PATCH", f"/api/clients/{slug}", json={"active": False})

    answer = overtake(
        roll_back,
        holds=f"SELECT 1 FROM worker_configs WHERE user_id = '{person.id}' FOR UPDATE",
        wants=f"SELECT 1 FROM tenants WHERE slug = '{slug}' FOR UPDATE",
    )
    assert_told(answer)
    assert roll_back().json["client"]["lane"]["active"] is False
