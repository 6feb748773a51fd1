"""A key in every view of it: one figure under one word, what 429s did to it, and what makes it unusable."""

import json
import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from flask.testing import FlaskClient, FlaskCliRunner
from pydantic import SecretStr

from app.clients.keys import NewKey, add_key
from app.db.scope import system_scope
from app.settings import get_settings
from app.work.key_usage import KeyUsage
from routing.rate_limits.limiter import Limiter
from routing.rate_limits.limits import KeyLimits, LimitPolicy, name_pool
from tests.factories import Tenant, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web

MADE, RESERVED, DAILY_LIMIT = 2, 5, 10
_numbers = count(1001)


@pytest.fixture
def new() -> NewKey:
    """A key that no other test has used: the limiter would know it."""
    secret = SecretStr(f"mt_abc123-{next(_numbers)}")
    return NewKey(secret, spacing_ms=0, per_30s=None, daily_limit=DAILY_LIMIT)


@pytest.fixture
def acme(web: Web, new: NewKey) -> Iterator[Tenant]:
    """A client with one key."""
    tenant = make_tenant()
    with system_scope() as connection:
        add_key(connection, tenant.id, new)
    yield tenant
    owner_sql("TRUNCATE api_keys, key_usage")


@pytest.fixture
def operator(web: Web) -> Caller:
    return web.caller(make_person(role="operator"))


@pytest.fixture
def browser(web: Web) -> FlaskClient:
    return web.sign_in(make_person(role="operator"))


@pytest.fixture
def cli(web: Web) -> FlaskCliRunner:
    return web.app.test_cli_runner()


@pytest.fixture
def limiter(web: Web) -> Iterator[Limiter]:
    settings = get_settings()
    limiter = Limiter.connect(settings.limits_url, LimitPolicy.from_settings(settings))
    yield limiter
    limiter.close()


@pytest.fixture
def used(acme: Tenant, new: NewKey, limiter: Limiter) -> Tenant:
    """Some calls were made; more were reserved; and one was answered 429."""
    limiter.register(KeyLimits(new.fingerprint, daily_limit=DAILY_LIMIT), cold_ms=None)
    pool = name_pool("test", [new.fingerprint])
    limiter.define_pool(pool)
    taken = limiter.reserve(pool, RESERVED)
    assert sum(slot.calls for slot in taken.slots) == RESERVED
    limiter.throttled(new.fingerprint, 1_000)
    KeyUsage().add({new.fingerprint: MADE})
    return acme


def key_of(answer: Any, new: NewKey) -> dict[str, Any]:
    [key] = [key for key in answer.json["keys"] if key["hint"] == new.hint]
    return dict(key)


def test_used_today_is_the_calls_made_wherever_it_is_told(
    operator: Caller, browser: FlaskClient, cli: FlaskCliRunner, used: Tenant, new: NewKey
) -> None:
    for path in ("/api/keys", f"/api/clients/{used.slug}"):
        key = key_of(operator.get(path), new)
        assert (key["used_today"], key["reserved_today"]) == (MADE, RESERVED)
    metrics = operator.get("/metrics").text
    assert re.search(rf"laneway_key_used_today{{.*}} {MADE}\.0", metrics)
    assert re.search(rf"laneway_key_reserved_today{{.*}} {RESERVED}\.0", metrics)
    for command in (["keys", "list", "--json"], ["clients", "show", used.slug, "--json"]):
        found = json.loads(cli.invoke(args=command).output)
        [told] = found if isinstance(found, list) else found["own_keys"]
        assert (told["used_today"], told["reserved_today"]) == (MADE, RESERVED)
    assert f"{MADE} used today" in cli.invoke(args=["keys", "list"]).output
    shown = cli.invoke(args=["clients", "show", used.slug]).output
    assert f"{MADE} used today" in shown
    assert f"{RESERVED} reserved today" in shown
    assert owner_sql("SELECT used_today FROM keys_overview()") == MADE
    for page in ("/keys", f"/clients/{used.slug}"):
        text = browser.get(page).text
        assert f"{MADE} of {DAILY_LIMIT}" in text
        assert f"{RESERVED} reserved today" in text


def test_a_page_says_why_a_key_is_spent_though_fewer_calls_were_made(
    browser: FlaskClient, used: Tenant
) -> None:
    assert "its day is used up" not in browser.get("/keys").text
    owner_sql("UPDATE api_keys SET daily_limit = :n", {"n": RESERVED})
    assert f"{RESERVED} reserved today: its day is used up" in browser.get("/keys").text


def test_without_reservations_nothing_is_told_of_them(
    operator: Caller, browser: FlaskClient, acme: Tenant, new: NewKey
) -> None:
    KeyUsage().add({new.fingerprint: MADE})
    text = browser.get("/keys").text
    assert f"{MADE} of {DAILY_LIMIT}" in text
    assert "reserved today" not in text


def test_a_spacing_that_429s_widened_is_told_everywhere(
    operator: Caller, browser: FlaskClient, cli: FlaskCliRunner, used: Tenant, new: NewKey
) -> None:
    assert key_of(operator.get("/api/keys"), new)["spacing_multiplier"] == 1.5
    for page in ("/keys", f"/clients/{used.slug}"):
        assert "(x 1.5 after 429)" in browser.get(page).text
    assert "spacing x 1.5 after 429" in cli.invoke(args=["clients", "show", used.slug]).output
    metrics = operator.get("/metrics").text
    assert re.search(r"laneway_key_spacing_multiplier{.*} 1\.5", metrics)


def test_a_key_whose_secret_cant_be_read_is_shown_with_its_own_error(
    operator: Caller, browser: FlaskClient, cli: FlaskCliRunner, acme: Tenant, new: NewKey
) -> None:
    with system_scope() as connection:
        add_key(connection, acme.id, NewKey(SecretStr("mt_def456uvw012")))
    owner_sql("UPDATE api_keys SET secret_encrypted = 'x' WHERE hint = :h", {"h": new.hint})
    healths = {k["hint"]: (k["health"], k["why"]) for k in operator.get("/api/keys").json["keys"]}
    assert healths[new.hint][0] == "unusable"
    assert "ENCRYPTION_KEYS" in healths[new.hint][1]
    assert healths["w012"] == ("unknown", None)
    for page in ("/keys", f"/clients/{acme.slug}"):
        assert browser.get(page).text.count("Not usable") == 1
    detail = operator.get(f"/api/clients/{acme.slug}").json
    assert detail["capacity"]["keys"] == 1, "it gives nothing"
    shown = json.loads(cli.invoke(args=["clients", "show", acme.slug, "--json"]).output)
    assert shown["capacity"]["keys"] == 1
    assert {key["health"] for key in shown["own_keys"]} == {"unusable", "unknown"}
    for command in (["keys", "list"], ["clients", "show", acme.slug]):
        assert cli.invoke(args=command).output.count("not usable: A stored secret") == 1
