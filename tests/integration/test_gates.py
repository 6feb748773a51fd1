"""Who may call a view is asked before its body is read, of every view of the API, and once more by the view itself."""

from typing import Any

import pytest

from app.http import gates
from app.http.gates import gate
from tests.factories import Tenant, make_person, make_tenant
from tests.integration.http_world import Caller, Web

JOBS = "/api/enrichment/jobs"
#: What anybody may ask: the way in, what a machine asks for, what proves itself by a signature, and the API's description.
OPEN = {
    "enrichment_webhook.take_call",
    "health.show_health",
    "health.show_readiness",
    "login.log_in",
    "openapi.show_docs",
    "openapi.show_spec",
    "openapi.static",
    "process.show_process_health",
}
NOT_JSON: dict[str, Any] = {"data": b"{", "headers": {"Content-Type": "application/json"}}


@pytest.fixture
def acme(web: Web) -> Tenant:
    return make_tenant()


@pytest.fixture
def nobody(web: Web) -> Caller:
    return web.caller()


def gated(web: Web) -> list[tuple[str, str]]:
    """Return the method and an address of each view of the API that is behind a gate."""
    found = []
    for rule in web.app.url_map.iter_rules():
        if rule.rule.startswith("/api/") and rule.endpoint not in OPEN:
            values = dict.fromkeys(rule.arguments, "00000000-0000-0000-0000-000000000000")
            values |= {name: "1" for name in ("item_no", "delivery_id") if name in rule.arguments}
            with web.app.test_request_context():
                path = web.app.url_map.bind("localhost").build(rule.endpoint, values)
            found += [(method, path) for method in (rule.methods or set()) - {"OPTIONS"}]
    return found


def test_no_view_of_the_api_is_open_by_mistake(web: Web, nobody: Caller) -> None:
    calls = gated(web)
    assert len(calls) > 40
    # To drive work is for who has CRON_SECRET, and there is none here.
    calls.remove(("POST", "/api/enrichment/process"))
    answers = {call: nobody.call(*call, **NOT_JSON).status_code for call in calls}
    assert {call: status for call, status in answers.items() if status != 401} == {}


def test_each_view_asks_by_itself_as_well(
    web: Web, nobody: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [ask for ask in web.app.before_request_funcs[None] if ask is not gates._go_through]
    assert len(first) == len(web.app.before_request_funcs[None]) - 1
    monkeypatch.setitem(web.app.before_request_funcs, None, first)
    calls = [call for call in gated(web) if call[0] in {"GET", "DELETE"}]
    assert len(calls) > 20
    assert {call: nobody.call(*call).status_code for call in calls} == dict.fromkeys(calls, 401)


def test_a_body_that_is_wrong_says_nothing_to_who_may_not_send_it(
    web: Web, nobody: Caller, acme: Tenant
) -> None:
    assert nobody.post(JOBS, **NOT_JSON).status_code == 401
    ann = web.caller(make_person(acme))
    assert ann.post(JOBS, **NOT_JSON).status_code == 400
    token = ann.post("/api/tokens", json={"name": "reads", "scopes": ["jobs:read"]}).json["token"]
    reader = web.caller()
    reader.headers = {"Authorization": f"Bearer {token}"}
    assert reader.post(JOBS, json={}).status_code == 403
    assert reader.post("/api/clients", json={}).status_code == 403
    assert reader.post("/api/tokens", json={}).status_code == 403


def test_a_session_without_the_pages_token_is_told_so_first(web: Web, acme: Tenant) -> None:
    browser = web.sign_in(make_person(acme))
    answer = browser.post(JOBS, **NOT_JSON)
    assert (answer.status_code, (answer.json or {})["code"]) == (403, "csrf_failed")


def test_a_passed_gate_opens_no_other(web: Web) -> None:
    """A view that calls another one, which asks for more, is asked there."""
    asked: list[str] = []

    @gate(lambda: asked.append("inner"))
    def inner() -> str:
        return "inner"

    @gate(lambda: asked.append("outer"))
    def outer() -> str:
        return inner()

    with web.app.test_request_context():
        assert outer() == "inner"
    assert asked == ["outer", "inner"]


def test_what_methods_there_are_is_told_to_anybody(web: Web, nobody: Caller) -> None:
    """Browsers ask before they send a token, and take a refusal for the end; where a proxy allows other origins, they come here."""
    for path, allowed in ((JOBS, {"GET", "POST"}), ("/api/tokens", {"GET", "POST"})):
        answer = nobody.call("OPTIONS", path)
        assert answer.status_code == 200
        assert allowed <= set(answer.allow)
    assert nobody.call("HEAD", JOBS).status_code == 401
