"""Keys over the API: added, changed, tested, reset and removed, and no secret ever comes out."""

from collections.abc import Iterator

import pytest

from app.settings import get_settings
from sandbox.process import run_sandbox
from tests.factories import (
    Person,
    Tenant,
    make_person,
    owner_sql,
)
from tests.integration.clients_api_world import (
    NO_ID,
    OTHER_SECRET,
    SECRET,
    a_client,
    an_operator,
    history,
    key_of,
    onboard,
)
from tests.integration.http_world import Caller, Web


@pytest.fixture
def acme() -> Tenant:
    return a_client()


@pytest.fixture
def person(acme: Tenant) -> Person:
    return make_person(acme)


@pytest.fixture
def operator(web: Web, capfd: pytest.CaptureFixture[str]) -> Iterator[Caller]:
    yield from an_operator(web, capfd)


def test_keys_are_added_all_or_none(operator: Caller, acme: Tenant) -> None:
    path = f"/api/clients/{acme.slug}/keys"
    both = [{"secret": SECRET, "spacing_ms": 125}, {"secret": OTHER_SECRET}]
    assert len(operator.post(path, json={"keys": both}).json["key_ids"]) == 2
    assert operator.get(f"/api/clients/{acme.slug}").json["capacity"] == {
        "keys": 2,
        "per_second": 9.5,
        "per_day": 820_800,
    }
    third = {"secret": "mt_ghi789rst345"}
    again = operator.post(path, json={"keys": [third, {"secret": SECRET}]})
    assert (again.status_code, again.json["code"]) == (409, "conflict")
    assert SECRET not in again.text
    assert operator.get(f"/api/clients/{acme.slug}").json["client"]["keys"] == 2


def test_a_key_is_changed_switched_off_reset_and_removed(
    operator: Caller, acme: Tenant, person: Person
) -> None:
    onboard(operator, person)
    key = key_of(operator, acme)
    path = f"/api/keys/{key['id']}"
    changed = operator.call(
        "PATCH",
        path,
        json={
            "spacing_ms": 125,
            "daily_limit": None,
            "extra_windows": [{"requests": 1000, "seconds": 3600}],
            "reset_hour": 6,
        },
    ).json
    assert (changed["spacing_ms"], changed["daily_limit"], changed["requests_per_window"]) == (
        125,
        None,
        165,
    )
    assert changed["extra_windows"] == [{"requests": 1000, "seconds": 3600}]
    assert (changed["reset_hour"], changed["in_force"]) == (6, True)
    off = operator.call("PATCH", path, json={"enabled": False}).json
    assert (off["enabled"], off["in_force"]) == (False, False)
    assert operator.call("PATCH", path, json={"secret": OTHER_SECRET}).status_code == 422
    assert operator.post(f"{path}/reset").json["health"] in {"closed", "unknown"}
    assert operator.delete(path).status_code == 204
    assert operator.delete(path).status_code == 404
    for verb in ("PATCH", "DELETE"):
        body = {"json": {"notes": "x"}} if verb == "PATCH" else {}
        assert operator.call(verb, f"/api/keys/{NO_ID}", **body).status_code == 404
    actions = [event["action"] for event in history(operator, acme)]
    changes = ["key.changed", "key.changed", "lane.changed", "key.added"]
    assert actions == ["key.removed", "key.reset", *changes]


def test_a_key_is_tested_with_one_call_and_one_that_is_refused_rests(
    operator: Caller, acme: Tenant, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_sandbox() as sandbox:
        monkeypatch.setenv("MAILTESTER_BASE_URL", sandbox.url)
        get_settings.cache_clear()
        sandbox.put_keys({"key": SECRET})
        path = f"/api/clients/{acme.slug}/keys"
        both = {"keys": [{"secret": SECRET}, {"secret": OTHER_SECRET}]}
        good, bad = operator.post(path, json=both).json["key_ids"]
        passed = operator.post(f"/api/keys/{good}/test").json
        assert passed["ok"]
        assert passed["ms"] >= 0
        failed = operator.post(f"/api/keys/{bad}/test")
        assert not failed.json["ok"]
        assert OTHER_SECRET not in failed.text
    [rests] = [
        key for key in operator.get(f"/api/clients/{acme.slug}").json["keys"] if key["id"] == bad
    ]
    assert (rests["health"], bool(rests["why"])) == ("open", True)
    assert operator.post(f"/api/keys/{bad}/reset").json["health"] == "closed"
    for act in ("test", "reset"):
        assert operator.post(f"/api/keys/{NO_ID}/{act}").status_code == 404
    get_settings.cache_clear()
    reset, refused, answered, *_ = history(operator, acme)
    assert [e["action"] for e in (reset, refused, answered)] == ["key.reset", *["key.tested"] * 2]
    assert {e["actor"] for e in (reset, refused)} == {operator.person and operator.person.email}
    whose = {"key": bad, "hint": OTHER_SECRET[-4:], "provider": "mailtester"}
    assert reset["details"] == whose | {"state": "closed"}
    ms = refused["details"].pop("ms")
    assert ms >= 0
    assert refused["details"] == whose | {"ok": False, "outcome": "provider_unauthorized"}
    assert (answered["details"]["ok"], answered["details"]["key"]) == (True, good)
    assert answered["details"]["ms"] == passed["ms"]


def test_a_secret_is_stored_encrypted(operator: Caller, acme: Tenant, person: Person) -> None:
    onboard(operator, person)
    stored = owner_sql("SELECT secret_encrypted FROM api_keys WHERE tenant_id = :t", {"t": acme.id})
    assert SECRET.encode() not in bytes(stored)
    logged = owner_sql(
        "SELECT string_agg(e::text, ' ') FROM audit_events e WHERE tenant_id = :t", {"t": acme.id}
    )
    assert SECRET not in logged
