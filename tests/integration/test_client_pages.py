"""The operators' pages of one client, whatever somebody wrote into its rows."""

import pytest
from flask.testing import FlaskClient

from tests.factories import (
    Person,
    Tenant,
    make_lane,
    make_person,
    make_tenant,
    make_worker,
    owner_sql,
)
from tests.integration.http_world import Web, form_token

ROW_OUT_OF_MODE = "UPDATE worker_configs SET worker_mode = 'shared' WHERE user_id = :u"


@pytest.fixture
def browser(web: Web) -> FlaskClient:
    return web.sign_in(make_person(role="operator"))


@pytest.fixture
def acme() -> Tenant:
    return make_tenant()


@pytest.fixture
def person(acme: Tenant) -> Person:
    person = make_person(acme)
    make_lane(person, f"verification-queue:client-{acme.slug}")
    return person


def test_a_row_that_names_a_queue_for_the_shared_mode_is_no_lane(
    browser: FlaskClient, acme: Tenant, person: Person
) -> None:
    assert "DEDICATED_CLIENT_ID" in browser.get(f"/clients/{acme.slug}").text
    assert browser.get(f"/clients/{acme.slug}/ready").status_code == 200
    owner_sql(ROW_OUT_OF_MODE, {"u": person.id})
    page = browser.get(f"/clients/{acme.slug}")
    assert page.status_code == 200
    assert "DEDICATED_CLIENT_ID" not in page.text
    assert f"/clients/{acme.slug}/lane/enable" not in page.text, "there is nothing to put back"
    ready = browser.get(f"/clients/{acme.slug}/ready")
    assert (ready.status_code, ready.location) == (302, f"/clients/{acme.slug}")


def test_the_longest_page_of_the_audit_leads_to_the_next(web: Web) -> None:
    operator = web.caller(make_person(role="operator"))
    owner_sql(
        "INSERT INTO audit_events (actor, action) SELECT 'op', 'x' FROM generate_series(1, 501)"
    )
    page = operator.get("/api/audit?limit=500").json
    assert len(page["events"]) == 500
    assert page["next_cursor"]


def test_a_message_that_is_not_true_yet_says_so(
    web: Web, browser: FlaskClient, acme: Tenant, person: Person
) -> None:
    operator, url = web.caller(make_person(role="operator")), f"/clients/{acme.slug}"
    early = operator.get(f"/api{url}/message").json
    assert "now live" in early["text"]
    assert early["warning"].startswith("Not true yet")
    assert "Not true yet" in browser.get(url).text
    key = {"secret": "mt_abc123xyz789"}
    assert operator.post(f"/api{url}/keys", json={"keys": [key]}).status_code == 201
    queue = f"verification-queue:client-{acme.slug}"
    warning = f"Not true yet of {acme.slug}: no worker serves {queue}."
    assert operator.get(f"/api{url}/message").json["warning"] == warning
    assert warning in browser.get(url).text
    assert warning in browser.get(f"{url}/ready").text
    make_worker(queue)
    assert operator.get(f"/api{url}/message").json["warning"] is None
    assert "Not true yet" not in browser.get(url).text


def test_a_key_that_is_too_short_is_said_in_words(
    web: Web, browser: FlaskClient, acme: Tenant
) -> None:
    operator, url = web.caller(make_person(role="operator")), f"/clients/{acme.slug}/keys"
    answer = operator.post(f"/api{url}", json={"keys": [{"secret": "mt_abc"}]})
    assert answer.status_code == 422
    assert "A key has 8 to 512 characters" in answer.json["detail"]
    assert "items" not in answer.json["detail"]
    form = {"csrf_token": form_token(browser.get("/onboard").text), "keys": "mt_abc"}
    page = browser.post(f"{url}/new", data=form)
    assert "a key has 8 to 512 characters" in page.text


def test_the_history_is_told_in_words(web: Web, browser: FlaskClient, acme: Tenant) -> None:
    operator = web.caller(make_person(role="operator"))
    added = operator.post(
        f"/api/clients/{acme.slug}/keys", json={"keys": [{"secret": "mt_abc123xyz789"}]}
    )
    [key] = added.json["key_ids"]
    operator.call("PATCH", f"/api/keys/{key}", json={"enabled": False})
    page = browser.get(f"/clients/{acme.slug}").text
    assert "Key …z789: switched off" in page
    assert "is_enabled" not in page
    history = web.app.test_cli_runner().invoke(args=["clients", "history", acme.slug]).output
    assert "Key …z789: switched off" in history
    owner_sql("DELETE FROM api_keys")


def test_a_conflict_is_said_beside_the_form_of_a_key(
    web: Web, browser: FlaskClient, acme: Tenant
) -> None:
    operator, secret = web.caller(make_person(role="operator")), "mt_abc123xyz789"
    keys = {"keys": [{"secret": secret}]}
    other = make_tenant()
    operator.post(f"/api/clients/{other.slug}/keys", json=keys)
    [key] = operator.post(f"/api/clients/{acme.slug}/keys", json=keys).json["key_ids"]
    form = {"csrf_token": form_token(browser.get(f"/keys/{key}").text), "spacing_ms": "125"}
    form |= {"per_30s": "165", "daily_limit": "500000", "reset_hour": "0", "extra_windows": ""}
    page = browser.post(f"/keys/{key}", data=form)
    assert page.status_code == 409
    assert f"also in use for the client {other.slug}" in page.text
    assert 'name="spacing_ms" value="125"' in page.text, "what was typed is kept"
    owner_sql("DELETE FROM api_keys")


def test_what_is_not_there_is_said_to_each_in_their_words(
    web: Web, browser: FlaskClient, acme: Tenant
) -> None:
    page = browser.get("/clients/nobody", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert "another client" not in page.text
    assert "may have been removed" in page.text
    assert "Go to the clients" in page.text
    member = web.sign_in(make_person(acme)).get("/nothing", headers={"Accept": "text/html"})
    assert "belongs to another client" in member.text
    assert "Go to the jobs" in member.text


def test_the_command_that_checks_a_lane_stands_to_be_copied(
    browser: FlaskClient, acme: Tenant, person: Person
) -> None:
    command = f"flask --app app.factory clients check {acme.slug}"
    for path in (f"/clients/{acme.slug}", f"/clients/{acme.slug}/ready"):
        assert command in browser.get(path).text
