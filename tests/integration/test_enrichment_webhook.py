"""Calls from outside over HTTP: who is believed, what is kept once, and who sees it."""

import base64
import hashlib
import hmac
import io
import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from werkzeug.test import TestResponse

from app.enrichment.callbacks import Ticket
from app.enrichment.events import MOST_PER_REQUEST
from app.factory import create_app
from app.settings import get_settings
from tests.factories import Tenant, make_job, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web

PATH = "/api/enrichment/webhook"
SECRETS = {name: f"secret-of-{name}-for-tests" for name in ("apollo", "hunter", "clearbit")}
GENERIC = "whsec_" + base64.b64encode(b"of whoever knows jobs here").decode()


@pytest.fixture(scope="module")
def hooked(module_environment: dict[str, str]) -> Iterator[Web]:
    """The web with every secret set and an address of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUBLIC_URL", "http://localhost")
        patch.setenv("ENRICHMENT_WEBHOOK_SECRET", GENERIC)
        patch.setenv("LOG_LEVEL", "ERROR")
        for name, secret in SECRETS.items():
            patch.setenv(f"{name.upper()}_WEBHOOK_SECRET", secret)
        get_settings.cache_clear()
        yield Web(create_app())
    get_settings.cache_clear()


@pytest.fixture
def outside(hooked: Web) -> Caller:
    return hooked.caller()


@pytest.fixture
def acme() -> Tenant:
    return make_tenant()


def address(tenant: Tenant, request: UUID, provider: str = "apollo") -> str:
    found = Ticket(provider, tenant.id, request).address(get_settings())
    assert found
    return found.removeprefix("http://localhost")


def wait_of(tenant: Tenant, *, name: str = "p1", provider: str = "apollo") -> tuple[UUID, UUID]:
    """Let the first row of a new job wait for an answer about its e-mail; return request and job."""
    request, job = uuid4(), make_job(tenant)
    lookup = {"person": {"first_name": "Ann"}, "wanted": ["email"], "keeps": [60, 60]}
    owner_sql(
        """INSERT INTO lookup_waits (request, tenant_id, job_id, item_no, provider, name, identity, lookup, findings, deadline)
           VALUES (:r, :t, :j, 1, :p, :n, 'i', CAST(:l AS jsonb), '{}', now() + interval '1 hour')""",
        {
            "r": request,
            "t": tenant.id,
            "j": job,
            "p": provider,
            "n": name,
            "l": json.dumps(lookup),
        },
    )
    return request, job


def answer(name: str = "p1") -> bytes:
    mail = {"email": "ann@shop.example", "email_status": "verified"}
    return json.dumps({"people": [{"id": name, "emails": [mail]}]}).encode()


def signed(secret: str, body: bytes, *, name: str = "", at: float | None = None) -> dict[str, str]:
    """The headers of Standard Webhooks."""
    plain = secret.removeprefix("whsec_")
    key = base64.b64decode(plain) if secret != plain else secret.encode()
    moment, name = str(int(time.time() if at is None else at)), name or f"msg_{uuid4().hex}"
    digest = hmac.new(key, f"{name}.{moment}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": name, "webhook-timestamp": moment, "webhook-signature": signature}


def states(reply: TestResponse) -> tuple[int, Any]:
    return reply.status_code, (reply.json or {}).get("state")


def kept() -> int:
    return int(owner_sql("SELECT count(*) FROM lookup_events"))


def listed(web: Web, tenant: Tenant, query: str = "") -> list[dict[str, Any]]:
    reply = web.caller(make_person(tenant)).get(f"{PATH}/events{query}")
    assert reply.status_code == 200
    assert reply.json
    found: list[dict[str, Any]] = reply.json["events"]
    return found


def test_an_address_that_was_given_out_is_believed(
    outside: Caller, hooked: Web, acme: Tenant
) -> None:
    request, job = wait_of(acme)
    assert states(outside.post(address(acme, request), data=answer())) == (202, "matched")
    (event,) = listed(hooked, acme)
    assert (event["provider"], event["state"], event["job_id"], event["items"]) == (
        "apollo",
        "matched",
        str(job),
        [1],
    )
    said = owner_sql("SELECT findings #>> '{email,value}' FROM lookup_attempts WHERE is_late")
    assert said == "ann@shop.example"


def test_a_request_that_is_not_recorded_yet_is_kept(outside: Caller, hooked: Web) -> None:
    tenant = make_tenant()
    assert states(outside.post(address(tenant, uuid4()), data=answer())) == (202, "unknown")
    assert [event["state"] for event in listed(hooked, tenant)] == ["unknown"]


def _changed(good: str, other: Tenant) -> list[str]:
    tenant, token = good.partition("tenant=")[2][:36], good.partition("token=")[2]
    return [
        good.replace(tenant, str(other.id)),
        good.replace(tenant, "nobody"),
        good.replace("provider=apollo", "provider=clearbit"),
        good.replace("provider=apollo", "provider=hunter"),
        good.replace("request=", "request=0"),
        good.replace(token, ""),
        good.replace(token, token[:-2] + "AA"),
        good.replace(token, "%C3%A9%00"),
        good.replace("&token=" + token, ""),
        PATH + "?provider=apollo",
        PATH,
    ]


def test_no_other_address_is(outside: Caller, acme: Tenant) -> None:
    request, _ = wait_of(acme)
    before = kept()
    for path in _changed(address(acme, request), make_tenant()):
        reply = outside.post(path, data=answer())
        assert reply.status_code == 401, path
        assert reply.json
        assert reply.json["detail"] == "This call is not proved."
    assert kept() == before
    assert (
        owner_sql("SELECT state FROM lookup_waits WHERE request = :r", {"r": request}) == "waiting"
    )


def test_a_tenant_s_own_token_opens_no_other_tenant_s_request(
    outside: Caller, hooked: Web, acme: Tenant
) -> None:
    """Eve's address with Acme's request in it, signed for Eve: nothing of Acme's is touched."""
    request, _ = wait_of(acme)
    eve = make_tenant()
    assert states(outside.post(address(eve, request), data=answer())) == (202, "unknown")
    assert (
        owner_sql("SELECT state FROM lookup_waits WHERE request = :r", {"r": request}) == "waiting"
    )
    assert listed(hooked, acme) == []


def test_a_provider_that_there_is_not_is_not_found(outside: Caller) -> None:
    assert outside.post(f"{PATH}?provider=nobody", data=b"{}").status_code == 404


@pytest.mark.parametrize("provider", ["apollo", "hunter", "clearbit"])
def test_who_holds_a_vendor_s_secret_may_call_as_that_vendor(
    outside: Caller, acme: Tenant, provider: str
) -> None:
    request, _ = wait_of(acme)
    path = f"{PATH}?provider={provider}&request={request}"
    body = answer()
    wrong = SECRETS["apollo" if provider != "apollo" else "hunter"]
    assert states(outside.post(path, data=body, headers=signed(wrong, body))) == (401, None)
    stale = signed(SECRETS[provider], body, at=time.time() - 301)
    assert states(outside.post(path, data=body, headers=stale)) == (401, None)
    reply = outside.post(path, data=body, headers=signed(SECRETS[provider], body))
    assert states(reply)[0] == 202


def test_a_replay_within_the_window_is_a_duplicate(outside: Caller, acme: Tenant) -> None:
    request, _ = wait_of(acme)
    path, body = f"{PATH}?provider=apollo&request={request}", answer()
    headers = signed(SECRETS["apollo"], body)
    replies = [outside.post(path, data=body, headers=headers) for _ in range(2)]
    assert [states(reply) for reply in replies] == [(202, "matched"), (202, "duplicate")]
    # The sender's id decides, also where the body is another.
    other = signed(SECRETS["apollo"], b"{}", name=headers["webhook-id"])
    assert states(outside.post(path, data=b"{}", headers=other)) == (202, "duplicate")


def test_clearbit_s_own_signature_with_the_secret_is_enough(outside: Caller, acme: Tenant) -> None:
    request, _ = wait_of(acme, name="w1", provider="clearbit")
    body = json.dumps({"id": "w1", "status": 404}).encode()
    digest = hmac.new(SECRETS["clearbit"].encode(), body, hashlib.sha1).hexdigest()
    path, headers = f"{PATH}?provider=clearbit&request={request}", {}
    assert states(outside.post(path, data=body, headers=headers)) == (401, None)
    headers = {"X-Request-Signature": f"sha1={digest}"}
    assert states(outside.post(path, data=body, headers=headers)) == (202, "matched")


def test_clearbit_s_address_without_its_signature_is_not_enough(
    outside: Caller, acme: Tenant
) -> None:
    request, _ = wait_of(acme, name="w1", provider="clearbit")
    body = json.dumps({"id": "w1", "status": 404}).encode()
    path = address(acme, request, "clearbit")
    assert states(outside.post(path, data=body)) == (401, None)


def test_whose_it_is_that_nobody_can_tell_is_shown_to_operators_alone(
    outside: Caller, hooked: Web, acme: Tenant
) -> None:
    path, body = f"{PATH}?provider=apollo&request={uuid4()}", answer()
    headers = signed(SECRETS["apollo"], body)
    replies = [outside.post(path, data=body, headers=headers) for _ in range(2)]
    assert [states(reply) for reply in replies] == [(202, "unknown"), (202, "duplicate")]
    assert listed(hooked, acme) == []
    reply = hooked.caller(make_person(role="operator")).get(f"{PATH}/events")
    assert reply.json
    assert [event["state"] for event in reply.json["events"][:2]] == ["duplicate", "unknown"]


def test_an_event_of_a_job_is_kept_with_it_and_changes_nothing(
    outside: Caller, hooked: Web, acme: Tenant
) -> None:
    job = make_job(acme)
    body = json.dumps(
        {"jobId": str(job), "event": "job.completed", "data": {"verdict": "valid"}}
    ).encode()
    replies = [outside.post(PATH, data=body, headers=signed(GENERIC, body)) for _ in range(2)]
    assert [states(reply) for reply in replies] == [(202, "matched")] * 2
    shown = listed(hooked, acme, f"?job_id={job}")
    assert [(e["provider"], e["event"], e["job_id"]) for e in shown] == [
        (None, "job.completed", str(job))
    ] * 2
    assert owner_sql("SELECT status FROM jobs WHERE id = :j", {"j": job}) == "pending"
    assert owner_sql("SELECT count(*) FROM job_results WHERE job_id = :j", {"j": job}) == 0


@pytest.mark.parametrize("job", ["job_123", str(uuid4())])
def test_an_event_of_no_job_is_kept_too(outside: Caller, job: str) -> None:
    body = json.dumps({"jobId": job, "event": "job.completed", "data": {}}).encode()
    headers = signed(GENERIC, body)
    assert states(outside.post(PATH, data=body, headers=headers)) == (202, "unknown")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"jobId": "x"}',
        b'{"jobId": 7, "event": "x"}',
        b"[" * 100_000,
        json.dumps({"jobId": "x", "event": "a\0b"}).encode(),
    ],
)
def test_an_event_of_another_form_is_refused(outside: Caller, body: bytes) -> None:
    reply = outside.post(PATH, data=body, headers=signed(GENERIC, body))
    assert reply.status_code == 422
    assert outside.post(PATH, data=body).status_code == 401


def test_a_job_id_with_nul_is_no_job(outside: Caller) -> None:
    body = json.dumps({"jobId": "a\0b", "event": "x"}).encode()
    assert states(outside.post(PATH, data=body, headers=signed(GENERIC, body))) == (202, "unknown")


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_of_ten_megabytes_is_not_read(
    outside: Caller, acme: Tenant, *, is_chunked: bool
) -> None:
    request, _ = wait_of(acme)
    before, body = kept(), io.BytesIO(b"x" * 10 * 1024 * 1024)
    options: dict[str, Any] = {"input_stream": body}
    if is_chunked:
        options["environ_overrides"] = {"wsgi.input_terminated": True}
    else:
        options["content_length"] = 10 * 1024 * 1024
    assert outside.post(address(acme, request), **options).status_code == 413
    assert body.tell() <= 1024 * 1024 + 64 * 1024
    assert kept() == before


def test_an_address_in_wrong_hands_does_not_fill_the_disk(outside: Caller, acme: Tenant) -> None:
    path, before = address(acme, uuid4()), kept()
    replies = [outside.post(path, data=f"{n // 2}".encode()) for n in range(MOST_PER_REQUEST + 9)]
    assert {reply.status_code for reply in replies} == {202}
    assert kept() - before == MOST_PER_REQUEST


def test_a_client_that_was_removed_leaves_nothing(outside: Caller) -> None:
    gone = make_tenant()
    path = address(gone, uuid4())
    owner_sql("DELETE FROM tenants WHERE id = :t", {"t": gone.id})
    before = kept()
    assert states(outside.post(path, data=answer())) == (202, "unknown")
    assert kept() == before


def test_the_list_goes_on_where_a_page_ended(outside: Caller, hooked: Web) -> None:
    tenant = make_tenant()
    for n in range(5):
        outside.post(address(tenant, uuid4()), data=answer(f"p{n}"))
    person = hooked.caller(make_person(tenant))
    seen, cursor = [], ""
    while cursor is not None:
        reply = person.get(f"{PATH}/events?limit=2" + (f"&cursor={cursor}" if cursor else ""))
        assert reply.json
        seen += [event["id"] for event in reply.json["events"]]
        cursor = reply.json["next_cursor"]
    assert len(seen) == 5
    assert seen == sorted(seen, reverse=True)
    assert listed(hooked, tenant, "?state=late") == []
    assert person.get(f"{PATH}/events?cursor=strange").status_code == 422
    assert outside.get(f"{PATH}/events").status_code == 401


def test_too_many_calls_from_one_address_are_put_off(
    outside: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENRICHMENT_WEBHOOK_LIMIT", "2 per minute")
    get_settings.cache_clear()
    try:
        replies = [outside.post(PATH, environ_base={"REMOTE_ADDR": "192.0.2.7"}) for _ in range(3)]
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    assert [reply.status_code for reply in replies] == [401, 401, 429]
    assert int(replies[-1].headers["Retry-After"]) > 0


def test_without_secrets_nobody_is_believed(web: Web) -> None:
    body = json.dumps({"jobId": "x", "event": "x"}).encode()
    get_settings.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("APOLLO", "HUNTER", "CLEARBIT", "ENRICHMENT"):
            patch.delenv(f"{name}_WEBHOOK_SECRET", raising=False)
        get_settings.cache_clear()
        caller = web.caller()
        for path in (PATH, f"{PATH}?provider=apollo", f"{PATH}?provider=hunter"):
            for secret in ("", "None", "**********"):
                assert caller.post(path, data=body, headers=signed(secret, body)).status_code == 401
    get_settings.cache_clear()
