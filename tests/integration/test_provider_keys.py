"""Keys of several providers: how they begin, how they are tried, and that lanes reckon with those that verify."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.clients.clients import get_client
from app.clients.keys import serving_keys
from app.db.scope import system_scope
from app.jobs.lane_keys import KeyBook
from app.settings import get_settings
from sandbox.process import RunningSandbox, run_sandbox
from tests.factories import Tenant, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web, form_token

SECRET = "a-secret-of-the-tests"


@pytest.fixture
def acme() -> Tenant:
    owner_sql("DELETE FROM api_keys")
    return make_tenant()


@pytest.fixture
def operator(web: Web) -> Caller:
    return web.caller(make_person(role="operator"))


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    with run_sandbox() as running:
        running.put_keys({"key": SECRET})
        for name in ("MAILTESTER_BASE_URL", "HUNTER_BASE_URL"):
            monkeypatch.setenv(name, running.url)
        get_settings.cache_clear()
        yield running
    monkeypatch.undo()
    get_settings.cache_clear()


def add(operator: Caller, client: Tenant, provider: str, **limits: Any) -> str:
    key = {"secret": SECRET, "provider": provider, **limits}
    answer = operator.post(f"/api/clients/{client.slug}/keys", json={"keys": [key]})
    assert answer.status_code == 201, answer.json
    assert answer.json
    return str(answer.json["key_ids"][0])


def limits_of(provider: str) -> dict[str, Any]:
    """The limits of the one key of a provider, as they are stored."""
    row: dict[str, Any] = owner_sql(
        """SELECT jsonb_build_object('spacing', spacing_ms, 'per_30s', requests_per_window, 'day', daily_limit, 'more',
            (SELECT coalesce(jsonb_agg(jsonb_build_array(w -> 'requests', w -> 'seconds')), '[]')
             FROM jsonb_array_elements(extra_windows) w)) FROM api_keys WHERE provider = :p""",
        {"p": provider},
    )
    return row


HUNTER = {"spacing": 100, "per_30s": None, "day": None, "more": [[300, 60]]}


def test_the_command_takes_each_provider_with_its_limits(web: Web, acme: Tenant) -> None:
    cli = web.app.test_cli_runner()
    for provider in ("mailtester", "hunter", "apollo", "clearbit"):
        words = ["keys", "add", "--tenant", acme.slug, "--provider", provider]
        done = cli.invoke(args=words, input=SECRET)
        assert done.exit_code == 0, done.output
    assert limits_of("mailtester") == {"spacing": 250, "per_30s": 165, "day": 500_000, "more": []}
    assert limits_of("hunter") == HUNTER
    assert limits_of("apollo") == {
        "spacing": 0,
        "per_30s": None,
        "day": 600,
        "more": [[50, 60], [200, 3600]],
    }
    assert limits_of("clearbit")["more"] == [[10, 1], [100, 60], [1000, 3600]]
    assert "zerobounce" in cli.invoke(args=["keys", "add", "--provider", "zerobounce"]).output


def test_what_the_command_says_holds(web: Web, acme: Tenant) -> None:
    words = ["keys", "add", "--platform", "--provider", "hunter", "--spacing-ms", "500"]
    words += ["--daily-limit", "0", "--window", "9/60s"]
    assert web.app.test_cli_runner().invoke(args=words, input=SECRET).exit_code == 0
    assert limits_of("hunter") == HUNTER | {"spacing": 500, "more": [[9, 60]]}


def test_the_api_takes_each_provider_with_its_limits(operator: Caller, acme: Tenant) -> None:
    add(operator, acme, "hunter", daily_limit=1_000)
    assert limits_of("hunter") == HUNTER | {"day": 1_000}
    refused = operator.post(
        f"/api/clients/{acme.slug}/keys",
        json={"keys": [{"secret": SECRET, "provider": "zerobounce"}]},
    )
    assert refused.status_code == 422
    assert "hunter" in refused.text


def test_the_page_offers_each_provider_with_its_limits(web: Web, acme: Tenant) -> None:
    browser = web.sign_in(make_person(role="operator"))
    path = f"/clients/{acme.slug}/keys/new"
    page = browser.get(f"{path}?provider=hunter").text
    assert 'value="300 in 60"' in page
    form = {"provider": "hunter", "keys": SECRET, "spacing_ms": "100", "per_30s": ""}
    form |= {"daily_limit": "", "reset_hour": "0", "extra_windows": "300 in 60"}
    sent = browser.post(path, data={**form, "csrf_token": form_token(page)})
    assert sent.status_code == 303
    assert limits_of("hunter") == HUNTER
    usual = browser.get(path).text
    assert 'name="provider" value="mailtester"' in usual


def test_a_key_is_tried_at_its_own_provider(
    operator: Caller, acme: Tenant, sandbox: RunningSandbox
) -> None:
    key = add(operator, acme, "hunter")
    tried = operator.post(f"/api/keys/{key}/test").json
    assert tried
    assert tried["ok"], tried
    (call,) = sandbox.calls()
    assert (call["provider"], call["email"]) == ("hunter", "postmaster@example.com")


def test_a_key_that_verifies_nothing_is_not_tried(
    operator: Caller, acme: Tenant, sandbox: RunningSandbox
) -> None:
    key = add(operator, acme, "apollo")
    refused = operator.post(f"/api/keys/{key}/test")
    assert refused.status_code == 409
    assert "apollo" in refused.text
    assert sandbox.calls() == []


def test_a_lane_reckons_with_the_keys_that_verify(operator: Caller, acme: Tenant) -> None:
    for provider in ("mailtester", "hunter", "apollo"):
        add(operator, acme, provider)
    with system_scope() as connection:
        serving = serving_keys(connection, get_client(connection, acme.slug, 15))
        assert [key.provider for key in serving] == ["mailtester"]
        assert KeyBook(connection, 15).keys_for([acme.slug]).count == 1


def test_a_worker_is_not_started_with_other_providers_keys(operator: Caller, acme: Tenant) -> None:
    person = make_person(acme)
    key = {"secret": "mt_abc123xyz789"}
    done = operator.post("/api/clients", json={"email": person.email, "keys": [key]})
    assert done.status_code in {200, 201}, done.json
    add(operator, acme, "hunter")
    files = operator.get(f"/api/clients/{acme.slug}/worker?format=env&keys=environment")
    assert files.status_code == 200
    assert "z789" in files.text
    assert SECRET[-4:] not in files.text


def test_keys_that_a_worker_carries_stand_in_no_other_providers_way(
    operator: Caller, acme: Tenant
) -> None:
    add(operator, acme, "hunter")
    add(operator, acme, "mailtester")
    owner_sql(
        """INSERT INTO workers (id, name, hostname, pid, queues, slots, last_seen, environment_keys)
           VALUES (gen_random_uuid(), 'w', 'h', 1, ARRAY['verification-queue'], 1, now() + interval '1 hour',
               jsonb_build_array(jsonb_build_object('fingerprint', 'f', 'hint', '0001', 'spacing_ms', 250, 'window_seconds', 30,
                   'client_id', CAST(:t AS text))))""",
        {"t": str(acme.id)},
    )
    shown = operator.get(f"/api/clients/{acme.slug}").json
    assert shown
    found = {(key["provider"], key["source"]): key["in_force"] for key in shown["keys"]}
    owner_sql("DELETE FROM workers")
    assert found == {
        ("hunter", "database"): True,
        ("mailtester", "database"): False,
        ("mailtester", "environment"): True,
    }
