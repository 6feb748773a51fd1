"""Tests of keys over the API and the pages: so many a minute, one of a key at a time, and none that ends in a 500."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr

from app.clients.key_test import KeyTest
from app.clients.keys import NewKey, add_key
from app.db.scope import system_scope
from app.errors import Misconfigured
from app.http import client_acts, key_acts
from tests.factories import Person, Tenant, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web, form_token

SECRET = "mt_abc123xyz789"
ANSWER = KeyTest(ok=True, detail="answered", outcome="valid", ms=1)


@pytest.fixture
def boss(web: Web) -> Person:
    return make_person(role="operator")


@pytest.fixture
def operator(web: Web, boss: Person) -> Caller:
    return web.caller(boss)


@pytest.fixture
def browser(web: Web, boss: Person) -> FlaskClient:
    return web.sign_in(boss)


@pytest.fixture
def acme() -> Tenant:
    return make_tenant()


@pytest.fixture
def key(web: Web, acme: Tenant) -> UUID:
    with system_scope() as connection:
        return add_key(connection, acme.id, NewKey(SecretStr(SECRET)))


def answering(
    patch: pytest.MonkeyPatch, act: Callable[..., KeyTest] = lambda *_, **__: ANSWER
) -> None:
    """Let the call of the provider be something else."""
    patch.setattr(key_acts, "make_test_call", act)


def test_a_person_tests_ten_times_a_minute_over_api_and_pages_together(
    operator: Caller, browser: FlaskClient, key: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch)
    form = {"csrf_token": form_token(browser.get("/onboard").text)}
    said = [operator.post(f"/api/keys/{key}/test").status_code for _ in range(9)]
    assert set(said) == {200}
    assert browser.post(f"/keys/{key}/test", data=form).status_code == 303
    refused = operator.post(f"/api/keys/{key}/test")
    assert (refused.status_code, refused.json["code"]) == (429, "too_many_requests")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    page = browser.post(f"/keys/{key}/test", data=form, headers={"Accept": "text/html"})
    assert page.status_code == 429
    assert 1 <= int(page.headers["Retry-After"]) <= 60
    assert browser.post(f"/keys/{key}/disable", data=form).status_code == 303, "no test"


def test_another_person_is_not_held_up(
    web: Web, operator: Caller, key: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch)
    said = [operator.post(f"/api/keys/{key}/test").status_code for _ in range(11)]
    assert said[-1] == 429
    other = web.caller(make_person(role="operator"))
    assert other.post(f"/api/keys/{key}/test").status_code == 200


def test_one_key_is_tested_by_one_at_a_time(
    web: Web, operator: Caller, key: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = Event(), Event()

    def slow(*_: Any, **__: Any) -> KeyTest:
        begun.set()
        assert go_on.wait(30)
        return ANSWER

    answering(monkeypatch, slow)
    other = web.caller(make_person(role="operator"))
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(other.post, f"/api/keys/{key}/test")
        assert begun.wait(30)
        answering(monkeypatch)
        second = operator.post(f"/api/keys/{key}/test")
        go_on.set()
        assert first.result().status_code == 200
    assert (second.status_code, "being tested" in second.json["detail"]) == (409, True)
    assert operator.post(f"/api/keys/{key}/test").status_code == 200, "it is free again"


def test_a_test_that_fails_leaves_the_key_free(
    operator: Caller, key: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> KeyTest:
        raise Misconfigured("x")

    answering(monkeypatch, fail)
    assert operator.post(f"/api/keys/{key}/test").status_code == 500
    answering(monkeypatch)
    assert operator.post(f"/api/keys/{key}/test").status_code == 200


def test_a_key_that_is_switched_off_is_not_tested(operator: Caller, key: UUID) -> None:
    operator.call("PATCH", f"/api/keys/{key}", json={"enabled": False})
    refused = operator.post(f"/api/keys/{key}/test")
    assert refused.status_code == 409
    assert "z789 is switched off" in refused.json["detail"]


def test_a_secret_that_cannot_be_read_is_an_answer(operator: Caller, key: UUID) -> None:
    owner_sql("UPDATE api_keys SET secret_encrypted = 'x' WHERE id = :k", {"k": key})
    answer = operator.post(f"/api/keys/{key}/test")
    assert (answer.status_code, answer.json["ok"], answer.json["ms"]) == (200, False, None)
    assert "ENCRYPTION_KEYS" in answer.json["detail"]
    told = "SELECT details ->> 'outcome' FROM audit_events WHERE action = 'key.tested' AND details ->> 'key' = :k"
    assert owner_sql(told, {"k": str(key)}) == "misconfigured"


def test_what_is_our_own_fault_is_logged_wherever_it_is_shown(
    operator: Caller, browser: FlaskClient, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[dict[str, Any]] = []

    def fail(*_: Any) -> None:
        raise Misconfigured("ENCRYPTION_KEYS must hold keys.")

    monkeypatch.setattr("app.http.problems.log.error", lambda _, **said: logged.append(said))
    monkeypatch.setattr(client_acts, "add_keys", fail)
    monkeypatch.setattr(client_acts, "remove_lane", fail)
    form = {"csrf_token": form_token(browser.get("/onboard").text), "keys": SECRET}
    url = f"/clients/{acme.slug}"
    assert operator.post(f"/api{url}/keys", json={"keys": [{"secret": SECRET}]}).status_code == 500
    assert browser.post(f"{url}/keys/new", data=form).status_code == 500
    assert browser.post(f"{url}/lane/remove", data=form).status_code == 303
    said = {"code": "misconfigured", "detail": "ENCRYPTION_KEYS must hold keys."}
    assert logged == [said] * 3
