"""What is told beside a change: who is left without a key, who else has it, who else has the name; by command, page and API."""

from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient, FlaskCliRunner
from pydantic import SecretStr

from app.clients.key_notices import without_key
from app.clients.keys import NewKey, add_key, edit_key
from app.db.scope import system_scope
from tests.factories import Tenant, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web, form_token

SECRET = "mt_abc123xyz789"
OTHER = "mt_def456uvw012"
TO_PLATFORM = "no other key of its own that can be used: the platform's keys serve its work then."
WAITS = "no other key of its own that can be used: its work waits then, because"
FORM_NAME = "Birch & Söhne"


@pytest.fixture(autouse=True)
def _empty(web: Web) -> None:
    owner_sql("TRUNCATE tenants, api_keys CASCADE")


@pytest.fixture
def acme() -> Tenant:
    return make_tenant("acme")


@pytest.fixture
def operator(web: Web) -> Caller:
    return web.caller(make_person(role="operator"))


@pytest.fixture
def browser(web: Web) -> FlaskClient:
    return web.sign_in(make_person(role="operator"))


@pytest.fixture
def cli(web: Web) -> FlaskCliRunner:
    return web.app.test_cli_runner()


def add(tenant: Tenant | None, secret: str = SECRET) -> UUID:
    with system_scope() as connection:
        return add_key(connection, tenant and tenant.id, NewKey(SecretStr(secret)))


def foreseen(key: UUID) -> str | None:
    with system_scope() as connection:
        return without_key(connection, key)


def as_html(text: str) -> str:
    return text.replace("'", "&#39;")


def test_without_its_last_key_a_client_goes_on_with_the_platforms(acme: Tenant) -> None:
    key = add(acme)
    add(None, OTHER)
    assert foreseen(key) == f"acme has {TO_PLATFORM}"


def test_without_its_last_key_a_client_waits_where_its_policy_or_the_platform_has_none(
    acme: Tenant,
) -> None:
    key = add(acme)
    assert foreseen(key) == f"acme has {WAITS} the platform has none either."
    platforms = add(None, OTHER)
    owner_sql("UPDATE tenants SET key_policy = 'own'")
    assert foreseen(key) == f"acme has {WAITS} its key policy is own."
    assert str(foreseen(platforms)).startswith("The platform has no other key that can be used")


def test_a_key_that_cant_be_used_is_no_other_key(acme: Tenant) -> None:
    key, spoilt = add(acme), add(acme, OTHER)
    assert foreseen(key) is None, "the other one goes on"
    owner_sql("UPDATE api_keys SET secret_encrypted = 'x' WHERE id = :k", {"k": spoilt})
    assert f"{WAITS} the keys that are left" in str(foreseen(key))


def test_a_key_that_serves_nobody_leaves_nobody_without(acme: Tenant) -> None:
    key = add(acme)
    owner_sql("UPDATE tenants SET key_policy = 'platform'")
    assert foreseen(key) is None
    owner_sql("UPDATE tenants SET key_policy = 'own'")
    with system_scope() as connection:
        edit_key(connection, key, is_enabled=False)
    assert foreseen(key) is None


@pytest.mark.parametrize("act", ["disable", "remove"])
def test_the_page_says_it_before(browser: FlaskClient, acme: Tenant, act: str) -> None:
    key = add(acme)
    add(None, OTHER)
    assert as_html(f"acme has {TO_PLATFORM}") in browser.get(f"/keys/{key}/{act}").text
    add(acme, "mt_ghi789rst345")
    assert "no other key" not in browser.get(f"/keys/{key}/{act}").text


def test_the_commands_say_it(cli: FlaskCliRunner, acme: Tenant) -> None:
    key = str(add(acme))
    add(None, OTHER)
    asked = cli.invoke(args=["keys", "remove", key], input="n\n").output
    assert asked.index(TO_PLATFORM) < asked.index("Remove the key")
    assert (
        f"look acme has {TO_PLATFORM}" in cli.invoke(args=["keys", "edit", key, "--disable"]).output
    )
    assert "look" not in cli.invoke(args=["keys", "edit", key, "--enable"]).output


def test_the_api_says_it(operator: Caller, acme: Tenant) -> None:
    key = add(acme)
    add(None, OTHER)
    answer = operator.call("PATCH", f"/api/keys/{key}", json={"enabled": False}).json
    assert answer["warnings"] == [f"acme has {TO_PLATFORM}"]
    assert operator.call("PATCH", f"/api/keys/{key}", json={"enabled": True}).json["warnings"] == []


def test_the_api_says_it_of_a_removed_key(operator: Caller, acme: Tenant) -> None:
    first, last = add(acme), add(acme, "mt_ghi789rst345")
    add(None, OTHER)
    answer = operator.delete(f"/api/keys/{first}")
    assert (answer.status_code, answer.data) == (204, b"")
    answer = operator.delete(f"/api/keys/{last}")
    assert (answer.status_code, answer.json) == (200, {"warnings": [f"acme has {TO_PLATFORM}"]})
    assert operator.delete(f"/api/keys/{last}").status_code == 404
    described = operator.get("/api/openapi.json").json["paths"]["/api/keys/{key_id}"]["delete"]
    assert {"200", "204"} <= set(described["responses"])


SHARED = "The key …z789 is also in use for the client birch."


def test_the_same_key_of_two_clients_is_told_by_the_api(operator: Caller, acme: Tenant) -> None:
    add(make_tenant("birch"))
    keys = {"keys": [{"secret": SECRET}, {"secret": OTHER}]}
    [told] = operator.post("/api/clients/acme/keys", json=keys).json["warnings"]
    assert told.startswith(SHARED)
    person = make_person(make_tenant("cedar"))
    body = {"email": person.email, "keys": [{"secret": SECRET}]}
    [told] = operator.post("/api/clients", json=body).json["warnings"]
    assert told.startswith("The key …z789 is also in use for the client acme, the client birch.")
    key = owner_sql(
        "SELECT k.id FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE slug = 'acme' AND hint = 'z789'"
    )
    operator.call("PATCH", f"/api/keys/{key}", json={"enabled": False})
    [told] = operator.call("PATCH", f"/api/keys/{key}", json={"enabled": True}).json["warnings"]
    assert "the client birch" in told


def test_the_same_key_of_two_clients_is_told_by_the_commands(
    cli: FlaskCliRunner, acme: Tenant
) -> None:
    add(make_tenant("birch"))
    added = cli.invoke(args=["keys", "add", "--tenant", "acme"], input=SECRET)
    assert (added.exit_code, f"look {SHARED}" in added.output) == (0, True)
    person = make_person(make_tenant("cedar"))
    queue = ("--queue", "verification-queue:client-cedar", "--key-stdin")
    done = cli.invoke(args=["clients", "onboard", person.email, *queue], input=SECRET)
    assert "look The key …z789 is also in use for the client acme, the client birch." in done.output


def test_the_same_key_of_two_clients_is_told_by_the_pages(
    browser: FlaskClient, acme: Tenant
) -> None:
    add(make_tenant("birch"))
    form = {"csrf_token": form_token(browser.get("/onboard").text), "keys": SECRET}
    form |= {"spacing_ms": "250", "per_30s": "165", "daily_limit": "500000", "reset_hour": "0"}
    page = browser.post("/clients/acme/keys/new", data=form, follow_redirects=True).text
    assert SHARED in page
    person = make_person(make_tenant("cedar"))
    review = browser.post("/onboard", data=form | {"email": person.email}).text
    assert "the client acme, the client birch" in review


def test_one_name_of_two_clients_is_allowed_and_told(
    operator: Caller, cli: FlaskCliRunner, browser: FlaskClient
) -> None:
    body: dict[str, Any] = {"email": "ann@birch.example", "name": FORM_NAME}
    assert operator.post("/api/clients", json=body).json["warnings"] == []
    again = body | {"email": "bob@birch.example", "slug": "birch-2", "name": FORM_NAME.upper()}
    [told] = operator.post("/api/clients", json=again).json["warnings"]
    assert f"another client with the name {FORM_NAME.upper()}: birch-sohne." in told
    assert "tell them apart by the short name, birch-2" in told
    words = ["clients", "onboard", "cid@birch.example", "--queue", "verification-queue:client-b-3"]
    words += ["--create", "--name", FORM_NAME, "--slug", "birch-3"]
    done = cli.invoke(args=words)
    assert (
        f"look There is another client with the name {FORM_NAME}: birch-2, birch-sohne."
        in done.output
    )
    form = {"csrf_token": form_token(browser.get("/onboard").text), "email": "dan@birch.example"}
    review = browser.post("/onboard", data=form | {"name": FORM_NAME, "slug": "birch-4"}).text
    assert "birch-2, birch-3, birch-sohne" in review


def test_another_name_that_is_anothers_is_told(
    operator: Caller, cli: FlaskCliRunner, browser: FlaskClient, acme: Tenant
) -> None:
    make_tenant("birch")
    path, rename = "/api/clients/acme", {"name": "birch"}
    [told] = operator.call("PATCH", path, json=rename).json["warnings"]
    assert told.startswith("There is another client with the name birch: birch.")
    assert operator.call("PATCH", path, json=rename).json["warnings"] == []
    told = cli.invoke(args=["clients", "set", "acme", "--name", "Birch"]).output
    assert "look There is another client with the name Birch: birch." in told
    form = {"csrf_token": form_token(browser.get("/clients/acme").text), "name": "BIRCH"}
    form |= {"weight": "1", "key_policy": "own_then_platform"}
    page = browser.post("/clients/acme/settings", data=form, follow_redirects=True).text
    assert "There is another client with the name BIRCH: birch." in page
