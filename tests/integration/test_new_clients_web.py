"""A client that is not there is made on the way: over the API and in the pages' wizard, its person's password told once."""

import re
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.factories import Person, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web, form_token

SECRET = "mt_abc123xyz789"
#: Given without a daily limit: a key that stands elsewhere with other limits is refused.
WIZARDS = "mt_def456uvw321"


@pytest.fixture
def boss(web: Web) -> Person:
    return make_person(role="operator")


@pytest.fixture
def operator(web: Web, boss: Person) -> Caller:
    return web.caller(boss)


@pytest.fixture
def browser(web: Web, boss: Person) -> FlaskClient:
    return web.sign_in(boss)


def signs_in(web: Web, email: str, password: str) -> bool:
    login = {"email": email, "password": password}
    return web.caller().post("/api/auth/login", json=login).status_code == 200


def test_the_api_makes_client_and_person_and_tells_the_password_once(
    web: Web, operator: Caller
) -> None:
    body = {"email": "ann@hazel.example", "name": "Hazel & Söhne", "keys": [{"secret": SECRET}]}
    first = operator.post("/api/clients", json=body)
    assert first.status_code == 201, first.text
    assert first.headers["Location"] == "/api/clients/hazel-sohne"
    client = first.json["client"]
    assert (client["name"], client["lane"]["person"]) == ("Hazel & Söhne", "ann@hazel.example")
    assert client["lane"]["in_force"] == "verification-queue:client-hazel-sohne"
    assert signs_in(web, "ann@hazel.example", first.json["password"])
    again = operator.post("/api/clients", json=body)
    assert (again.status_code, again.json["password"]) == (201, None)
    made, *_ = reversed(operator.get("/api/clients/hazel-sohne/history").json["events"])
    assert (made["action"], made["actor"]) == (
        "client.created",
        operator.person and operator.person.email,
    )
    assert made["details"] == {"name": "Hazel & Söhne", "person": "ann@hazel.example"}


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"name": None}, 422, "a name beside its slug"),
        ({"name": None, "slug": None}, 404, "There is no user"),
        ({"slug": "Not A Slug"}, 422, "lower-case letters"),
        ({"slug": "taken"}, 409, "another short name"),
        ({"email": "nobody"}, 422, "not an e-mail address"),
        ({"name": "日本", "slug": None}, 422, "No short name"),
        ({"queue": "lane"}, 422, "is not a lane"),
    ],
)
def test_what_cannot_be_made_leaves_nothing(
    operator: Caller, changes: dict[str, Any], status: int, said: str
) -> None:
    if not owner_sql("SELECT count(*) FROM tenants WHERE slug = 'taken'"):
        make_tenant("taken")
    count = "SELECT (SELECT count(*) FROM tenants) * 1000 + count(*) FROM users"
    before = owner_sql(count)
    body = {"email": "eve@willow.example", "name": "Willow", "slug": "willow"} | changes
    answer = operator.post("/api/clients", json=body)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text
    assert owner_sql(count) == before


def test_a_person_of_another_client_stays_there(operator: Caller) -> None:
    person = make_person(make_tenant())
    assert person.tenant
    answer = operator.post("/api/clients", json={"email": person.email, "name": "Alder"})
    assert answer.status_code == 409
    assert f"belongs to the client {person.tenant.slug}, not to alder" in answer.json["detail"]


def send(browser: FlaskClient, path: str, shown: str, **form: str) -> Any:
    return browser.post(path, data=form | {"csrf_token": form_token(shown)})


def review(browser: FlaskClient, **form: str) -> Any:
    limits = {"spacing_ms": "250", "per_30s": "165", "daily_limit": "", "reset_hour": "0"}
    return send(browser, "/onboard", browser.get("/onboard").text, **limits | form)


def confirm(browser: FlaskClient, shown: str, **form: str) -> Any:
    sealed = re.search(r'name="sealed" value="([^"]+)"', shown)
    queue = re.search(r'name="queue" value="([^"]+)"', shown)
    assert sealed
    assert queue
    return send(browser, "/onboard/confirm", shown, sealed=sealed[1], queue=queue[1], **form)


def test_the_wizard_makes_a_client_and_shows_the_password_once(
    web: Web, browser: FlaskClient
) -> None:
    shown = review(browser, email="ann@rowan.example", name="Rowan Ltd", keys=WIZARDS).text
    assert "Review: Rowan Ltd" in shown
    assert "Make and onboard Rowan Ltd" in shown
    assert "verification-queue:client-rowan-ltd" in shown
    assert WIZARDS not in shown
    assert owner_sql("SELECT count(*) FROM tenants WHERE slug = 'rowan-ltd'") == 0
    done = confirm(browser, shown)
    assert (done.status_code, done.location) == (303, "/clients/rowan-ltd/ready")
    ready = browser.get(done.location)
    password = re.search(r'id="password-text"[^>]*>([^<]+)<', ready.text)
    assert password
    assert signs_in(web, "ann@rowan.example", unescape(password[1]))
    assert ready.headers["Cache-Control"] == "no-store"
    assert "password-text" not in browser.get(done.location).text
    # The way there keeps no password that could be read.
    assert unescape(password[1]) not in str(done.headers)
    assert "Client made, with ann@rowan.example" in browser.get("/clients/rowan-ltd").text


def test_a_name_that_was_taken_since_the_review_is_said_on_the_form(browser: FlaskClient) -> None:
    shown = review(browser, email="ann@aspen.example", name="Aspen").text
    make_tenant("aspen")
    done = confirm(browser, shown)
    assert done.status_code == 409
    assert "There is a client aspen already" in done.text
    assert 'value="ann@aspen.example"' in done.text
    assert owner_sql("SELECT count(*) FROM users WHERE email = 'ann@aspen.example'") == 0


def test_without_a_name_a_stranger_is_no_client(browser: FlaskClient) -> None:
    shown = review(browser, email="stranger@nowhere.example")
    assert shown.status_code == 404
    assert "Then give the client's name" in unescape(shown.text)


def test_the_form_begins_again_with_who_it_was(browser: FlaskClient) -> None:
    shown = browser.get("/onboard?email=a@b.example&name=Yew&slug=yew").text
    assert all(f'value="{value}"' in shown for value in ("a@b.example", "Yew", "yew"))
