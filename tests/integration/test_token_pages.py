"""The page of API tokens: a new one is seen once, and works; who sees which; revoked; no token opens a page."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.factories import Tenant, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web, form_token

JOBS = "/api/enrichment/jobs"
JOB = {"type": "email_validation", "payload": {"emails": ["a@example.com"]}}


@pytest.fixture
def acme() -> Tenant:
    return make_tenant()


@pytest.fixture
def browser(web: Web, acme: Tenant) -> FlaskClient:
    return web.sign_in(make_person(acme))


def send(browser: FlaskClient, path: str = "/tokens", **fields: object) -> TestResponse:
    token = form_token(browser.get("/tokens").text)
    return browser.post(path, data={**fields, "csrf_token": token})


def make(browser: FlaskClient, name: str = "nightly import", *scopes: str) -> str:
    answer = send(browser, name=name, scopes=list(scopes) or ["jobs:read"])
    assert answer.status_code == 303, answer.text
    (token,) = set(re.findall(r"lw_[\w-]{43}", browser.get(answer.location).text))
    return str(token)


def program(web: Web, token: str) -> Caller:
    caller = web.caller()
    caller.headers = {"Authorization": f"Bearer {token}"}
    return caller


def id_of(name: str, acme: Tenant) -> str:
    found = owner_sql(
        "SELECT id FROM api_tokens WHERE name = :n AND tenant_id = :t", {"n": name, "t": acme.id}
    )
    return str(found)


def test_a_token_is_shown_once_and_opens_what_it_may(web: Web, browser: FlaskClient) -> None:
    assert "never" not in browser.get("/tokens").text
    token = make(browser)
    page = browser.get("/tokens").text
    assert token not in page
    assert f"…{token[-4:]}" in page
    assert "never" in page
    assert program(web, token).get(JOBS).status_code == 200
    assert program(web, token).post(JOBS, json=JOB).status_code == 403
    assert "never" not in browser.get("/tokens").text, "its last use is told"


@pytest.mark.parametrize(
    "ahead",
    [{"Sec-Purpose": "prefetch"}, {"Sec-Purpose": "prefetch;prerender"}, {"X-Moz": "prefetch"}],
)
def test_only_a_look_at_the_page_takes_the_one_showing(
    browser: FlaskClient, ahead: dict[str, str]
) -> None:
    answer = send(browser, name="import", scopes=["jobs:read"])
    assert browser.head(answer.location).status_code == 200
    assert "This is the token" not in browser.get(answer.location, headers=ahead).text
    page = browser.get(answer.location).text
    assert "This is the token" in page
    assert re.search(r"lw_[\w-]{43}", page)
    assert "This is the token" not in browser.get(answer.location).text


def test_a_message_waits_for_a_look_at_a_page(browser: FlaskClient, acme: Tenant) -> None:
    make(browser, "told once")
    send(browser, f"/tokens/{id_of('told once', acme)}/revoke")
    assert browser.head("/tokens").status_code == 200
    # As a script asks that renews parts of a page.
    assert (
        "told once is revoked" not in browser.get("/tokens", headers={"X-Purpose": "preview"}).text
    )
    assert "told once is revoked" in browser.get("/tokens").text
    assert "told once is revoked" not in browser.get("/tokens").text


def test_a_revoked_token_is_void(web: Web, browser: FlaskClient, acme: Tenant) -> None:
    token = make(browser, "old import")
    path = f"/tokens/{id_of('old import', acme)}/revoke"
    assert browser.post(path).status_code == 403, "a forged request"
    assert program(web, token).get(JOBS).status_code == 200
    assert send(browser, path).status_code == 303
    assert program(web, token).get(JOBS).status_code == 401
    page = browser.get("/tokens").text
    assert "old import is revoked" in page
    assert path not in page


def test_the_last_day_is_good_to_its_end(browser: FlaskClient, acme: Tenant) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    sent = {"name": "short", "scopes": ["jobs:read"]}
    assert send(browser, **sent, last_day=tomorrow.isoformat()).status_code == 303
    ends = owner_sql("SELECT expires_at FROM api_tokens WHERE id = :i", {"i": id_of("short", acme)})
    assert ends.astimezone(UTC).date() == tomorrow
    assert ends - datetime.now(UTC) > timedelta(days=1)
    owner_sql("UPDATE api_tokens SET expires_at = now() WHERE tenant_id = :t", {"t": acme.id})
    assert "Expired" in browser.get("/tokens").text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": " ", "scopes": ["jobs:read"]}, "Name"),
        ({"name": "x"}, "What it may do"),
        ({"name": "x", "scopes": ["jobs:all"]}, "What it may do"),
        ({"name": "x", "scopes": ["jobs:read"], "last_day": "soon"}, "Last day"),
        ({"name": "x", "scopes": ["jobs:read"], "last_day": "2020-01-01"}, "lies ahead"),
        ({"name": "x", "scopes": ["jobs:read"], "last_day": "9999-12-31"}, "Last day"),
    ],
)
def test_mistakes_are_said_in_the_form(
    browser: FlaskClient, fields: dict[str, object], said: str
) -> None:
    answer = send(browser, **fields)
    assert (answer.status_code, said in answer.text) == (422, True)
    assert "This is the token" not in answer.text
    assert 'name="name" value="x"' in answer.text or fields["name"] == " "


def test_an_admin_sees_everybodys_of_the_client_and_nobody_anothers(
    web: Web, browser: FlaskClient, acme: Tenant
) -> None:
    make(browser, "import of a member")
    admin = web.sign_in(make_person(acme, role="admin"))
    assert "import of a member" in admin.get("/tokens").text
    colleague = web.sign_in(make_person(acme))
    assert "import of a member" not in colleague.get("/tokens").text
    stranger = web.sign_in(make_person(make_tenant(), role="admin"))
    assert "import of a member" not in stranger.get("/tokens").text
    path = f"/tokens/{id_of('import of a member', acme)}/revoke"
    for other in (colleague, stranger):
        send(other, path)
        assert "There is no such token" in other.get("/tokens").text
    send(admin, path)
    assert "is revoked" in admin.get("/tokens").text


def test_no_token_opens_a_page(web: Web, acme: Tenant) -> None:
    operator = web.sign_in(make_person(acme, role="operator"))
    token = make(operator, "a program", "jobs:read")
    robot = program(web, token)
    for path in ("/tokens", "/webhooks", "/", "/clients", "/keys"):
        assert robot.get(path).status_code == 403, path
    forged = robot.client.get("/login").text
    form = {"csrf_token": form_token(forged), "name": "more", "scopes": ["jobs:write"]}
    assert robot.post("/tokens", data=form).status_code == 403
    assert robot.get(JOBS).status_code == 200


def test_the_clients_history_tells_of_tokens(web: Web, browser: FlaskClient, acme: Tenant) -> None:
    token = make(browser, "nightly")
    send(browser, f"/tokens/{id_of('nightly', acme)}/revoke")
    send(browser, f"/tokens/{id_of('nightly', acme)}/revoke")
    page = web.sign_in(make_person(role="operator")).get(f"/clients/{acme.slug}").text
    assert f"API token nightly …{token[-4:]} of" in page
    assert page.count("revoked") == 1
    assert token not in page
