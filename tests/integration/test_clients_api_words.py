"""What the API says of requests about clients that it can't carry out, or that change nothing."""

from typing import Any

import pytest

from tests.factories import (
    Person,
    lease_chunk,
    make_job,
    make_lane,
    make_person,
    make_tenant,
    owner_sql,
)
from tests.integration.http_world import Caller, Web


@pytest.fixture
def operator(web: Web) -> Caller:
    return web.caller(make_person(role="operator"))


@pytest.fixture
def person() -> Person:
    return make_person(make_tenant())


def test_a_person_that_is_not_there_may_be_a_new_clients(operator: Caller) -> None:
    answer = operator.post("/api/clients", json={"email": "nobody@nowhere.example"})
    assert answer.status_code == 404
    assert "There is no user nobody@nowhere.example." in answer.json["detail"]
    assert "Then give the client's name, and both are made." in answer.json["detail"]


def test_what_changes_no_lane_tells_of_no_change(operator: Caller, person: Person) -> None:
    assert person.tenant
    body = {"email": person.email}
    assert operator.post("/api/clients", json=body).json["change"]["chunks_moved"] == 0
    assert operator.post("/api/clients", json=body).json["change"] is None
    path = f"/api/clients/{person.tenant.slug}"
    lane = operator.get(path).json["client"]["lane"]["configured"]
    assert operator.call("PATCH", path, json={"queue": lane}).json["change"] is None
    assert operator.call("PATCH", path, json={"active": True}).json["change"] is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"keys": ["mt_abc123xyz789"]}, 'keys.0: must be an object: {"secret": …, …}'),
        ({"keys": [["secret", "x"]]}, 'keys.0: must be an object: {"secret": …, …}'),
        (
            {"keys": [{"secret": "mt_abc123xyz789", "extra_windows": [60]}]},
            'keys.0.extra_windows.0: must be an object: {"requests": …, "seconds": …}',
        ),
    ],
)
def test_a_wrong_shape_is_answered_with_the_right_one(
    operator: Caller, person: Person, body: dict[str, Any], said: str
) -> None:
    assert person.tenant
    answer = operator.post(f"/api/clients/{person.tenant.slug}/keys", json=body)
    assert (answer.status_code, answer.json["detail"]) == (422, said)


def test_a_body_that_is_a_list_is_answered_with_the_shape(operator: Caller) -> None:
    answer = operator.post("/api/clients", json=["ann@example.com"])
    assert answer.status_code in {400, 422}
    assert "instance of" not in answer.text
    assert "object" in answer.json["detail"]


def test_a_roll_back_tells_what_waited_and_what_runs_on(
    web: Web, operator: Caller, person: Person
) -> None:
    assert person.tenant
    slug = person.tenant.slug
    queue = f"verification-queue:client-{slug}"
    make_lane(person, queue)
    job = make_job(person.tenant, 300)
    lease_chunk(person.tenant, job, queue=queue)
    back = operator.call("PATCH", f"/api/clients/{slug}", json={"active": False}).json["change"]
    assert (back["chunks_moved"], back["chunks_running"]) == (2, 1)
    cli = web.app.test_cli_runner()
    there = cli.invoke(args=["clients", "enable", slug]).output
    assert "2 waiting chunks moved, 1 running chunk finishes where it is" in there
    owner_sql("UPDATE chunks SET status = 'done' WHERE job_id = :j", {"j": job})
    again = cli.invoke(args=["clients", "rollback", slug]).output
    assert "nothing waited, nothing runs" in again
