"""Clients over the API: who may, each verb, what is said of mistakes, and that no secret ever comes out."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.factories import (
    Person,
    Tenant,
    make_job,
    make_lane,
    make_person,
    make_tenant,
)
from tests.integration.clients_api_world import (
    NO_ID,
    SECRET,
    a_client,
    an_operator,
    history,
    onboard,
    queue_of,
)
from tests.integration.http_world import Caller, Web

VERBS = [
    ("POST", "/api/clients"),
    ("GET", "/api/clients"),
    ("GET", "/api/clients/{slug}"),
    ("PATCH", "/api/clients/{slug}"),
    ("DELETE", "/api/clients/{slug}"),
    ("GET", "/api/clients/{slug}/history"),
    ("GET", "/api/clients/{slug}/worker"),
    ("GET", "/api/clients/{slug}/message"),
    ("GET", "/api/audit"),
    ("POST", "/api/clients/{slug}/keys"),
    ("PATCH", f"/api/keys/{NO_ID}"),
    ("DELETE", f"/api/keys/{NO_ID}"),
    ("POST", f"/api/keys/{NO_ID}/test"),
    ("POST", f"/api/keys/{NO_ID}/reset"),
]


@pytest.fixture
def acme() -> Tenant:
    return a_client()


@pytest.fixture
def person(acme: Tenant) -> Person:
    return make_person(acme)


@pytest.fixture
def operator(web: Web, capfd: pytest.CaptureFixture[str]) -> Iterator[Caller]:
    yield from an_operator(web, capfd)


@pytest.mark.parametrize(("method", "path"), VERBS)
def test_only_operators_may_and_nobody_else_learns_whether_it_exists(
    web: Web, acme: Tenant, person: Person, method: str, path: str
) -> None:
    admin = web.caller(make_person(make_tenant(), role="admin"))
    for slug in (acme.slug, "no-such-client"):
        body = {} if method in {"GET", "DELETE"} else {"json": {"weight": 1}}
        answer = admin.call(method, path.format(slug=slug), **body)
        assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
        nobody = web.caller().call(method, path.format(slug=slug), **body)
        assert (nobody.status_code, nobody.json["code"]) == (401, "unauthenticated")


def test_onboarding_moves_what_waits_and_may_be_repeated(
    web: Web, operator: Caller, acme: Tenant, person: Person
) -> None:
    make_job(acme, 30, chunk_rows=10)
    before = web.dispatched
    answer = onboard(operator, person, notes="Set up on a Monday")
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/clients/{acme.slug}"
    assert answer.json["change"] == {
        "from_queue": "verification-queue",
        "to_queue": queue_of(acme),
        "chunks_moved": 3,
        "chunks_running": 0,
    }
    lane = answer.json["client"]["lane"]
    assert (lane["configured"], lane["in_force"], lane["active"]) == (
        queue_of(acme),
        queue_of(acme),
        True,
    )
    assert (lane["person"], lane["notes"], lane["workers"]) == (
        person.email,
        "Set up on a Monday",
        0,
    )
    assert answer.json["capacity"] == {"keys": 1, "per_second": 4.0, "per_day": 345_600}
    assert [key["hint"] for key in answer.json["keys"]] == ["z789"]
    assert SECRET not in answer.text
    assert web.dispatched > before

    again = onboard(operator, person)
    assert again.status_code == 201
    assert again.json["key_ids"] == answer.json["key_ids"]
    assert again.json["change"] is None
    actions = [event["action"] for event in history(operator, acme)]
    assert actions.count("key.added") == 1
    assert actions.count("lane.changed") == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"email": ""}, "email"),
        ({"keys": [{"secret": "short"}]}, "keys.0.secret"),
        ({"keys": [{"secret": SECRET, "spacing_ms": -1}]}, "keys.0.spacing_ms"),
        ({"keys": [{"secret": SECRET, "per_30s": 0}]}, "keys.0.per_30s"),
        ({"keys": [{"secret": SECRET, "per_30s": 100_001}]}, "keys.0.per_30s"),
        (
            {"keys": [{"secret": SECRET, "extra_windows": "100001 in 60"}]},
            "keys.0.extra_windows.0.requests",
        ),
        ({"keys": [{"secret": SECRET, "reset_hour": 24}]}, "keys.0.reset_hour"),
        ({"keys": [{"secret": SECRET, "extra_windows": "lots"}]}, "keys.0.extra_windows"),
        ({"keys": [SECRET]}, "keys.0"),
        ({"queues": "x"}, "queues"),
    ],
)
def test_what_is_wrong_is_said_field_by_field_without_the_secret(
    operator: Caller, acme: Tenant, person: Person, changes: dict[str, Any], field: str
) -> None:
    answer = onboard(operator, person, **changes)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
    assert field in [error["field"] for error in answer.json["errors"]]
    assert SECRET not in answer.text
    assert operator.get(f"/api/clients/{acme.slug}").json["client"]["lane"]["configured"] is None


def test_a_lane_is_named_as_lanes_are_and_belongs_to_one_client(
    operator: Caller, acme: Tenant, person: Person
) -> None:
    odd = onboard(operator, person, queue="verification-queue:Client Acme")
    assert odd.status_code == 422
    assert "small letters" in odd.json["detail"]
    shared = onboard(operator, person, queue="verification-queue")
    assert shared.status_code == 422
    neighbour = make_tenant()
    make_lane(make_person(neighbour), queue_of(neighbour))
    taken = onboard(operator, person, queue=queue_of(neighbour))
    assert (taken.status_code, taken.json["code"]) == (409, "conflict")
    # Nothing of it is done: the keys neither.
    assert operator.get(f"/api/clients/{acme.slug}").json["keys"] == []
    stranger = onboard(operator, Person(person.id, "nobody@nowhere.example", None))
    assert stranger.status_code == 404


def test_a_client_is_rolled_back_put_back_moved_and_removed(
    web: Web, operator: Caller, acme: Tenant, person: Person
) -> None:
    onboard(operator, person)
    make_job(acme, 20, chunk_rows=10)
    path = f"/api/clients/{acme.slug}"

    before = web.dispatched
    back = operator.call("PATCH", path, json={"active": False}).json
    assert back["change"]["to_queue"] == "verification-queue"
    assert back["change"]["chunks_moved"] == 2
    assert (back["client"]["lane"]["active"], back["client"]["lane"]["configured"]) == (
        False,
        queue_of(acme),
    )
    assert web.dispatched > before
    assert operator.call("PATCH", path, json={"active": False}).json["change"] is None

    again = operator.call("PATCH", path, json={"active": True}).json
    assert again["client"]["lane"]["in_force"] == queue_of(acme)

    other = f"{queue_of(acme)}-2"
    moved = operator.call("PATCH", path, json={"queue": other, "weight": 3}).json
    assert (moved["change"]["from_queue"], moved["change"]["to_queue"]) == (queue_of(acme), other)
    assert moved["client"]["settings"]["weight"] == 3

    gone = operator.delete(path).json
    assert gone["client"]["lane"]["configured"] is None
    assert gone["change"]["to_queue"] == "verification-queue"
    # Its keys stay, and there is nothing left to put back.
    assert len(gone["keys"]) == 1
    assert operator.call("PATCH", path, json={"active": True}).status_code == 409

    events = history(operator, acme)
    assert {event["actor"] for event in events} == {operator.person and operator.person.email}
    lanes = [event["to_queue"] for event in events if event["action"] == "lane.changed"]
    shared = "verification-queue"
    assert lanes == [shared, other, queue_of(acme), shared, queue_of(acme)]


def test_settings_are_changed_by_name_and_emptied_with_null(operator: Caller, acme: Tenant) -> None:
    path = f"/api/clients/{acme.slug}"
    wanted = {
        "weight": 5,
        "max_in_flight": 8,
        "max_in_flight_per_job": 2,
        "key_policy": "own",
        "fallback_after_seconds": 60,
        "enrichment_chain": ["hunter", "apollo"],
        "enrichment_cheapest_first": True,
    }
    assert operator.call("PATCH", path, json=wanted).json["client"]["settings"] == wanted
    emptied = operator.call("PATCH", path, json={"max_in_flight": None}).json
    assert emptied["client"]["settings"] == wanted | {"max_in_flight": None}
    assert emptied["change"] is None
    for wrong in ({"fallback_after_seconds": 5}, {"weight": 0}, {"key_policy": "any"}, {}):
        assert operator.call("PATCH", path, json=wrong).status_code == 422
    both = operator.call("PATCH", path, json={"active": False, "queue": queue_of(acme)})
    assert both.status_code == 422
    [newest, *_] = history(operator, acme)
    assert newest["action"] == "client.changed"
    assert newest["details"]["max_in_flight"] == [8, None]
