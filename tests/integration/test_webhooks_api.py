"""Webhooks over the API: each verb, what is said of mistakes, that a secret is shown once, and only to its own client."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.factories import make_job, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web
from tests.integration.webhook_world import Receiver, Reply, deliver, end_job, make_due, spread

URL = "https://hooks.example.com/laneway"
NO_ID = "00000000-0000-4000-8000-000000000000"
VERBS = [
    ("GET", "/endpoints"),
    ("POST", "/endpoints"),
    ("GET", "/endpoints/{id}"),
    ("PATCH", "/endpoints/{id}"),
    ("DELETE", "/endpoints/{id}"),
    ("POST", "/endpoints/{id}/rotate"),
    ("POST", "/endpoints/{id}/test"),
    ("POST", "/endpoints/{id}/enable"),
    ("GET", "/secret"),
    ("POST", "/secret/rotate"),
    ("GET", "/deliveries"),
    ("GET", "/deliveries/1"),
    ("POST", "/deliveries/1/replay"),
]

pytestmark = pytest.mark.usefixtures("webhooks_only")


@pytest.fixture
def caller(web: Web) -> Caller:
    return web.caller(make_person(make_tenant()))


def add(caller: Caller, url: str = URL, *events: str) -> dict[str, Any]:
    body = {"url": url, "events": list(events or ("job.completed",))}
    answer = caller.post("/api/webhooks/endpoints", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json or {})


@pytest.mark.parametrize(("method", "path"), VERBS)
def test_nobody_without_a_client_gets_in(web: Web, method: str, path: str) -> None:
    path = "/api/webhooks" + path.format(id=NO_ID)
    body = {"json": {"url": URL, "events": ["job.failed"]}} if method in {"POST", "PATCH"} else {}
    assert web.caller().call(method, path, **body).status_code == 401
    assert web.caller(make_person(role="operator")).call(method, path, **body).status_code == 403


@pytest.mark.parametrize(
    ("method", "path"), [verb for verb in VERBS if "{id}" in verb[1] or "/1" in verb[1]]
)
def test_what_is_another_clients_does_not_exist(
    web: Web, caller: Caller, method: str, path: str
) -> None:
    path = "/api/webhooks" + path.format(id=add(caller)["id"])
    body = {"json": {"description": "mine"}} if method == "PATCH" else {}
    other = web.caller(make_person(make_tenant()))
    assert other.call(method, path, **body).status_code == 404
    assert other.get("/api/webhooks/endpoints").json == {"endpoints": []}


def test_the_secret_is_shown_once_and_kept_encrypted(caller: Caller) -> None:
    added = add(caller)
    assert added["secret"].startswith("whsec_")
    for path in ("/endpoints", f"/endpoints/{added['id']}"):
        assert "whsec_" not in caller.get(f"/api/webhooks{path}").text
    stored = bytes(owner_sql("SELECT secret_encrypted FROM webhook_endpoints"))
    assert added["secret"].removeprefix("whsec_").encode() not in stored


def test_a_rotation_shows_the_new_secret_once(caller: Caller) -> None:
    added = add(caller)
    rotated = caller.post(f"/api/webhooks/endpoints/{added['id']}/rotate").json
    assert rotated
    assert rotated["secret"] != added["secret"]
    assert rotated["previous_until"] is not None


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"url": "http://example.com/", "events": ["job.failed"]}, "url", "https://"),
        ({"url": "https://10.0.0.1/", "events": ["job.failed"]}, "url", "private"),
        ({"url": "https://a.b/" + "x" * 2048, "events": ["job.failed"]}, "url", "2048"),
        ({"url": URL, "events": []}, "events", "at least one"),
        ({"url": URL, "events": ["job.started"]}, "events", "job.completed"),
        ({"url": URL}, "events", "is needed"),
        ({"url": URL, "events": ["job.failed"], "secret": "x"}, "secret", "allowed here: url"),
    ],
)
def test_mistakes_are_named(caller: Caller, body: Any, field: str, words: str) -> None:
    answer = caller.post("/api/webhooks/endpoints", json=body)
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert answer.json
    assert field in answer.json["detail"]
    assert words in answer.json["detail"]


def test_a_client_has_fifty_endpoints_at_most(caller: Caller) -> None:
    add(caller)
    owner_sql(
        """INSERT INTO webhook_endpoints (tenant_id, url, events, secret_encrypted)
           SELECT e.tenant_id, e.url || '/' || n, e.events, e.secret_encrypted
           FROM webhook_endpoints e, generate_series(1, 49) AS n"""
    )
    another = {"url": f"{URL}/another", "events": ["job.failed"]}
    answer = caller.post("/api/webhooks/endpoints", json=another)
    assert answer.status_code == 409
    assert "50 endpoints" in (answer.json or {})["detail"]


def test_an_address_has_one_endpoint_of_a_client(web: Web, caller: Caller) -> None:
    first = add(caller)
    for same in (URL, URL.replace("hooks.example.com", "Hooks.Example.com:443")):
        answer = caller.post(
            "/api/webhooks/endpoints", json={"url": same, "events": ["job.failed"]}
        )
        assert answer.status_code == 409, answer.text
        assert (answer.json or {})["endpoint_id"] == first["id"]
        assert "already" in (answer.json or {})["detail"]
    second = add(caller, f"{URL}/2")
    path = f"/api/webhooks/endpoints/{second['id']}"
    assert caller.call("PATCH", path, json={"url": URL}).status_code == 409
    assert (
        caller.call("PATCH", path, json={"url": f"{URL}/2", "description": "x"}).status_code == 200
    )
    add(web.caller(make_person(make_tenant())))
    assert caller.delete(f"/api/webhooks/endpoints/{first['id']}").status_code == 204
    add(caller)


def test_two_endpoints_of_before_with_one_address_can_be_changed(caller: Caller) -> None:
    first, second = add(caller), add(caller, f"{URL}/2")
    owner_sql("UPDATE webhook_endpoints SET url = :u", {"u": URL})
    for endpoint in (first, second):
        path = f"/api/webhooks/endpoints/{endpoint['id']}"
        changed = {"url": URL, "events": ["job.failed"]}
        assert caller.call("PATCH", path, json=changed).status_code == 200


def test_an_address_that_is_sent_twice_at_once_is_added_once(web: Web, caller: Caller) -> None:
    def send(_: int) -> int:
        other = web.caller(caller.person)
        body = {"url": URL, "events": ["job.failed"]}
        return other.post("/api/webhooks/endpoints", json=body).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(send, range(4))) == [201, 409, 409, 409]


def test_an_endpoint_is_changed_switched_off_and_on_and_removed(caller: Caller) -> None:
    path = f"/api/webhooks/endpoints/{add(caller)['id']}"
    changed = caller.call(
        "PATCH", path, json={"events": ["job.failed", "job.progress"], "description": "CRM"}
    ).json
    assert changed
    assert (changed["events"], changed["description"]) == (["job.failed", "job.progress"], "CRM")
    off = caller.call("PATCH", path, json={"enabled": False}).json
    assert off
    assert (off["is_enabled"], off["disabled_reason"]) == (False, "person")
    on = caller.post(f"{path}/enable").json
    assert on
    assert (on["is_enabled"], on["disabled_reason"], on["disabled_at"]) == (True, None, None)
    assert caller.delete(path).status_code == 204
    assert caller.get(path).status_code == 404
    assert caller.delete(path).status_code == 404


def test_the_address_of_a_job_is_changed_with_the_job(web: Web, receiver: Receiver) -> None:
    tenant = make_tenant()
    caller, job = web.caller(make_person(tenant)), make_job(tenant)
    owner_sql("UPDATE jobs SET webhook_url = :u WHERE id = :j", {"u": receiver.url, "j": job})
    end_job(job)
    deliver()
    listed = caller.get("/api/webhooks/endpoints").json
    assert listed
    (endpoint,) = listed["endpoints"]
    assert endpoint["of_jobs"] is True
    path = f"/api/webhooks/endpoints/{endpoint['id']}"
    assert caller.call("PATCH", path, json={"url": URL}).status_code == 409
    assert caller.post(f"{path}/rotate").status_code == 409


def test_the_clients_own_secret(caller: Caller) -> None:
    nothing = {"created_at": None, "shown_at": None, "previous_until": None}
    assert caller.get("/api/webhooks/secret").json == nothing
    made = caller.post("/api/webhooks/secret/rotate").json
    assert made
    assert made["secret"].startswith("whsec_")
    state = caller.get("/api/webhooks/secret")
    assert "whsec_" not in state.text
    assert state.json
    assert state.json["shown_at"] is not None


def test_the_log_tells_each_attempt_and_replays(web: Web, receiver: Receiver) -> None:
    tenant = make_tenant()
    caller, job = web.caller(make_person(tenant)), make_job(tenant)
    add(caller)
    owner_sql("UPDATE webhook_endpoints SET url = :u", {"u": receiver.url})
    receiver.answer = lambda _: Reply(500 if len(receiver.received) == 1 else 200, body=b"sorry")
    end_job(job)
    deliver()
    make_due()
    deliver()
    listed = caller.get(f"/api/webhooks/deliveries?job={job}&status=delivered").json
    assert listed
    (delivery,) = listed["deliveries"]
    detail = caller.get(f"/api/webhooks/deliveries/{delivery['id']}").json
    assert detail
    assert detail["body"]["data"]["job"]["id"] == str(job)
    assert [(a["number"], a["answer_status"], a["answer"]) for a in detail["log"]] == [
        (2, 200, "sorry"),
        (1, 500, "sorry"),
    ]
    assert "webhook-signature" not in detail["log"][0]["headers"]
    assert caller.post(f"/api/webhooks/deliveries/{delivery['id']}/replay").status_code == 202
    assert caller.post(f"/api/webhooks/deliveries/{delivery['id']}/replay").status_code == 409
    deliver()
    assert [got.id for got in receiver.received] == [delivery["message_id"]] * 3
    detail = caller.get(f"/api/webhooks/deliveries/{delivery['id']}").json or {}
    assert [(a["number"], a["replay"]) for a in detail["log"]] == [(3, 1), (2, 0), (1, 0)]


def test_the_log_is_paged_and_filtered(caller: Caller) -> None:
    added = add(caller, URL, "job.failed", "job.completed")
    assert caller.person
    assert caller.person.tenant
    for number in range(5):
        job = make_job(caller.person.tenant, 1)
        end_job(job, "failed" if number % 2 else "completed")
    caller.post(f"/api/webhooks/endpoints/{added['id']}/test")
    spread()
    seen: list[int] = []
    cursor = ""
    while True:
        page = caller.get(f"/api/webhooks/deliveries?limit=4&cursor={cursor}").json
        assert page
        seen += [delivery["id"] for delivery in page["deliveries"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert len(seen) == len(set(seen)) == 6
    assert seen == sorted(seen, reverse=True)
    failed = caller.get("/api/webhooks/deliveries?event=job.failed").json
    assert failed
    assert len(failed["deliveries"]) == 2
    none = caller.get(f"/api/webhooks/deliveries?endpoint={NO_ID}").json
    assert none
    assert none["deliveries"] == []
    assert caller.get("/api/webhooks/deliveries?cursor=x").status_code == 422
    assert caller.get("/api/webhooks/deliveries/99999999999999999999").status_code == 404


def test_a_test_says_its_id_and_arrives(web: Web, receiver: Receiver) -> None:
    caller = web.caller(make_person(make_tenant()))
    added = add(caller)
    owner_sql("UPDATE webhook_endpoints SET url = :u", {"u": receiver.url})
    answer = caller.post(f"/api/webhooks/endpoints/{added['id']}/test")
    assert answer.status_code == 202
    deliver()
    (got,) = receiver.received
    assert answer.json == {"message_id": got.id}
    assert Webhook(added["secret"]).verify(got.body, got.headers)["type"] == "endpoint.test"


def test_an_upload_names_an_address_that_may_be_sent_to(caller: Caller) -> None:
    answer = caller.upload(webhook_url="https://192.168.0.1/hook")
    assert answer.status_code == 422
    assert answer.json
    assert "private" in answer.json["detail"]
