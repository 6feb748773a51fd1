"""Clients and keys over the API: who may, each verb, what is said of mistakes, and that no secret ever comes out."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.logs import configure_logging
from app.settings import get_settings
from sandbox.process import run_sandbox
from tests.factories import (
    Person,
    Tenant,
    make_job,
    make_lane,
    make_person,
    make_tenant,
    make_worker,
    owner_sql,
)
from tests.integration.http_world import Caller, Web

SECRET = "mt_abc123xyz789"
OTHER_SECRET = "mt_def456uvw012"
NO_ID = "00000000-0000-4000-8000-000000000000"
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
    # These tests share two keys, and rows with one key have the same limits.
    owner_sql("DELETE FROM api_keys")
    return make_tenant()


@pytest.fixture
def person(acme: Tenant) -> Person:
    return make_person(acme)


@pytest.fixture
def operator(web: Web, capfd: pytest.CaptureFixture[str]) -> Iterator[Caller]:
    """Somebody who runs the installation; afterwards no secret stands in what was logged."""
    configure_logging(get_settings().model_copy(update={"log_level": "INFO"}))
    caller = web.caller(make_person(role="operator"))
    caller.get("/api/audit")
    yield caller
    configure_logging(get_settings())
    said = "".join(capfd.readouterr())
    assert "/api/audit" in said, "nothing was logged, so nothing is proved"
    assert SECRET not in said
    assert OTHER_SECRET not in said


def queue_of(tenant: Tenant) -> str:
    return f"verification-queue:client-{tenant.slug}"


def onboard(operator: Caller, person: Person, **changes: Any) -> Any:
    body: dict[str, Any] = {"email": person.email, "keys": [{"secret": SECRET}]} | changes
    return operator.post("/api/clients", json=body)


def key_of(operator: Caller, tenant: Tenant) -> dict[str, Any]:
    [key] = operator.get(f"/api/clients/{tenant.slug}").json["keys"]
    return dict(key)


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


def history(operator: Caller, tenant: Tenant) -> list[dict[str, Any]]:
    return list(operator.get(f"/api/clients/{tenant.slug}/history").json["events"])


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


def test_clients_are_listed_with_their_lane_work_and_keys(
    operator: Caller, acme: Tenant, person: Person
) -> None:
    onboard(operator, person)
    make_worker(queue_of(acme))
    make_job(acme, 10, chunk_rows=10)
    [row] = [
        row for row in operator.get("/api/clients").json["clients"] if row["slug"] == acme.slug
    ]
    assert (row["lane"]["workers"], row["work"]["ready"], row["keys"]) == (1, 1, 1)
    assert row["work"]["open_jobs"] == 1
    missing = operator.get("/api/clients/no-such-client")
    assert (missing.status_code, missing.json["code"]) == (404, "not_found")


def test_keys_are_added_all_or_none(operator: Caller, acme: Tenant) -> None:
    path = f"/api/clients/{acme.slug}/keys"
    both = [{"secret": SECRET, "spacing_ms": 125}, {"secret": OTHER_SECRET}]
    assert len(operator.post(path, json={"keys": both}).json["key_ids"]) == 2
    assert operator.get(f"/api/clients/{acme.slug}").json["capacity"] == {
        "keys": 2,
        "per_second": 9.5,
        "per_day": 820_800,
    }
    third = {"secret": "mt_ghi789rst345"}
    again = operator.post(path, json={"keys": [third, {"secret": SECRET}]})
    assert (again.status_code, again.json["code"]) == (409, "conflict")
    assert SECRET not in again.text
    assert operator.get(f"/api/clients/{acme.slug}").json["client"]["keys"] == 2


def test_a_key_is_changed_switched_off_reset_and_removed(
    operator: Caller, acme: Tenant, person: Person
) -> None:
    onboard(operator, person)
    key = key_of(operator, acme)
    path = f"/api/keys/{key['id']}"
    changed = operator.call(
        "PATCH",
        path,
        json={
            "spacing_ms": 125,
            "daily_limit": None,
            "extra_windows": [{"requests": 1000, "seconds": 3600}],
            "reset_hour": 6,
        },
    ).json
    assert (changed["spacing_ms"], changed["daily_limit"], changed["requests_per_window"]) == (
        125,
        None,
        165,
    )
    assert changed["extra_windows"] == [{"requests": 1000, "seconds": 3600}]
    assert (changed["reset_hour"], changed["in_force"]) == (6, True)
    off = operator.call("PATCH", path, json={"enabled": False}).json
    assert (off["enabled"], off["in_force"]) == (False, False)
    assert operator.call("PATCH", path, json={"secret": OTHER_SECRET}).status_code == 422
    assert operator.post(f"{path}/reset").json["health"] in {"closed", "unknown"}
    assert operator.delete(path).status_code == 204
    assert operator.delete(path).status_code == 404
    for verb in ("PATCH", "DELETE"):
        body = {"json": {"notes": "x"}} if verb == "PATCH" else {}
        assert operator.call(verb, f"/api/keys/{NO_ID}", **body).status_code == 404
    actions = [event["action"] for event in history(operator, acme)]
    changes = ["key.changed", "key.changed", "lane.changed", "key.added"]
    assert actions == ["key.removed", "key.reset", *changes]


@pytest.mark.parametrize("kind", ["env", "procfile", "compose", "kubernetes"])
def test_what_a_worker_is_started_with_names_keys_by_their_end(
    operator: Caller, acme: Tenant, person: Person, kind: str
) -> None:
    onboard(operator, person)
    path = f"/api/clients/{acme.slug}/worker"
    answer = operator.get(path, query_string={"format": kind, "keys": "environment"})
    assert answer.json["format"] == kind
    assert queue_of(acme) in answer.json["text"]
    assert str(acme.id) in answer.json["text"]
    assert SECRET not in answer.text
    assert operator.get(path, query_string={"format": "toml"}).status_code == 422


def test_a_client_without_a_lane_has_no_worker(operator: Caller, acme: Tenant) -> None:
    assert operator.get(f"/api/clients/{acme.slug}/worker").status_code == 409


def test_the_message_tells_the_client_its_figures(
    operator: Caller, acme: Tenant, person: Person
) -> None:
    onboard(operator, person)
    message = operator.get(f"/api/clients/{acme.slug}/message").json["text"]
    assert message.startswith("Subject: ")
    assert "345,600" in message
    assert SECRET not in message


def test_the_audit_is_paged_newest_first(operator: Caller, acme: Tenant) -> None:
    for weight in (2, 3, 4):
        operator.call("PATCH", f"/api/clients/{acme.slug}", json={"weight": weight})
    first = operator.get("/api/audit", query_string={"limit": 2}).json
    assert [event["details"]["weight"] for event in first["events"]] == [[3, 4], [2, 3]]
    rest = operator.get(
        f"/api/clients/{acme.slug}/history",
        query_string={"limit": 2, "cursor": first["next_cursor"]},
    ).json
    assert [event["details"]["weight"] for event in rest["events"]] == [[1, 2]]
    assert rest["next_cursor"] is None
    odd = operator.get("/api/audit", query_string={"cursor": "odd"})
    assert odd.status_code == 422


def test_a_key_is_tested_with_one_call_and_one_that_is_refused_rests(
    operator: Caller, acme: Tenant, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_sandbox() as sandbox:
        monkeypatch.setenv("MAILTESTER_BASE_URL", sandbox.url)
        get_settings.cache_clear()
        sandbox.put_keys({"key": SECRET})
        path = f"/api/clients/{acme.slug}/keys"
        both = {"keys": [{"secret": SECRET}, {"secret": OTHER_SECRET}]}
        good, bad = operator.post(path, json=both).json["key_ids"]
        passed = operator.post(f"/api/keys/{good}/test").json
        assert passed["ok"]
        assert passed["ms"] >= 0
        failed = operator.post(f"/api/keys/{bad}/test")
        assert not failed.json["ok"]
        assert OTHER_SECRET not in failed.text
    [rests] = [
        key for key in operator.get(f"/api/clients/{acme.slug}").json["keys"] if key["id"] == bad
    ]
    assert (rests["health"], bool(rests["why"])) == ("open", True)
    assert operator.post(f"/api/keys/{bad}/reset").json["health"] == "closed"
    for act in ("test", "reset"):
        assert operator.post(f"/api/keys/{NO_ID}/{act}").status_code == 404
    get_settings.cache_clear()
    reset, refused, answered, *_ = history(operator, acme)
    assert [e["action"] for e in (reset, refused, answered)] == ["key.reset", *["key.tested"] * 2]
    assert {e["actor"] for e in (reset, refused)} == {operator.person and operator.person.email}
    whose = {"key": bad, "hint": OTHER_SECRET[-4:], "provider": "mailtester"}
    assert reset["details"] == whose | {"state": "closed"}
    ms = refused["details"].pop("ms")
    assert ms >= 0
    assert refused["details"] == whose | {"ok": False, "outcome": "provider_unauthorized"}
    assert (answered["details"]["ok"], answered["details"]["key"]) == (True, good)
    assert answered["details"]["ms"] == passed["ms"]


def test_a_secret_is_stored_encrypted(operator: Caller, acme: Tenant, person: Person) -> None:
    onboard(operator, person)
    stored = owner_sql("SELECT secret_encrypted FROM api_keys WHERE tenant_id = :t", {"t": acme.id})
    assert SECRET.encode() not in bytes(stored)
    logged = owner_sql(
        "SELECT string_agg(e::text, ' ') FROM audit_events e WHERE tenant_id = :t", {"t": acme.id}
    )
    assert SECRET not in logged
