"""What operators do through the functions of the schema: what changes, what is told of it, and what never is."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.crypto import decrypt, encrypt, fingerprint
from app.db.scope import system_scope
from tests.conftest import Environment
from tests.integration.client_world import (
    ACME,
    SHARED,
    add_client,
    give_lane,
    lane_in_force,
    moves,
    new_id,
    run,
)
from tests.integration.ledger_world import World

SECRET = "mt_abc123xyz789"
CLIENT_SET = "SELECT client_set(:t, CAST(:s AS jsonb))"
KEY_ADD = "SELECT key_add(:t, 'mailtester', :f, :s, :h, CAST(:l AS jsonb))"
KEY_SET = "SELECT key_set(:k, CAST(:s AS jsonb))"


def act(world: World, sql: str, **values: object) -> Any:
    """Call a function as the web does, on behalf of a person."""
    with system_scope(world.app) as c:
        c.execute(text("SELECT set_config('laneway.actor', 'boss@example.com', true)"))
        return c.execute(text(sql), values).scalar_one()


def add_key(world: World, tenant: UUID | None, limits: str = "{}") -> Any:
    return act(
        world,
        KEY_ADD,
        t=tenant,
        f=fingerprint("mailtester", SECRET),
        s=encrypt(SECRET),
        h=SECRET[-4:],
        l=limits,
    )


def events(world: World, action: str = "%") -> list[dict[str, Any]]:
    return world.rows("SELECT * FROM audit_events WHERE action LIKE :a ORDER BY id", a=action)


@pytest.fixture
def client(world: World, environment: Environment) -> World:
    world.add_tenant("acme")
    return world


def test_settings_change_and_only_what_changed_is_told(client: World) -> None:
    acme = client.tenants["acme"]
    changes = act(
        client,
        CLIENT_SET,
        t=acme,
        s='{"weight": 3, "max_in_flight": 40, "name": "acme", "fallback_after_seconds": 60}',
    )
    assert changes == {
        "weight": [1, 3],
        "max_in_flight": [None, 40],
        "fallback_after_seconds": [None, 60],
    }
    assert act(client, CLIENT_SET, t=acme, s='{"max_in_flight": null}') == {
        "max_in_flight": [40, None]
    }
    assert [(e["actor"], e["tenant_slug"], e["details"]) for e in events(client)] == [
        ("boss@example.com", "acme", changes),
        ("boss@example.com", "acme", {"max_in_flight": [40, None]}),
    ]


@pytest.mark.parametrize(
    "settings", ["{}", '{"weight": 1}', '{"slug": "x", "id": null}', '{"no": 1}']
)
def test_what_changes_nothing_is_not_told(client: World, settings: str) -> None:
    before = client.rows("SELECT * FROM tenants")
    assert act(client, CLIENT_SET, t=client.tenants["acme"], s=settings) == {}
    assert client.rows("SELECT * FROM tenants") == before
    assert events(client) == []


@pytest.mark.parametrize(
    "settings",
    ['{"weight": 0}', '{"key_policy": "any"}', '{"fallback_after_seconds": 5}', '{"name": null}'],
)
def test_impossible_settings_leave_no_trace(client: World, settings: str) -> None:
    with pytest.raises(IntegrityError):
        act(client, CLIENT_SET, t=client.tenants["acme"], s=settings)
    assert events(client) == []


def test_there_is_nothing_to_set_of_nobody(client: World) -> None:
    assert act(client, CLIENT_SET, t=new_id(), s='{"weight": 2}') is None
    assert act(client, KEY_SET, k=new_id(), s='{"spacing_ms": 2}') is None
    assert act(client, "SELECT key_remove(:k)", k=new_id()) is False
    assert events(client) == []


def test_a_keys_life_is_told_without_its_secret(client: World) -> None:
    acme = client.tenants["acme"]
    limits = """{"spacing_ms": 125, "requests_per_window": 165, "daily_limit": 500000, "reset_hour": 3,
        "extra_windows": [{"requests": 1000, "seconds": 3600}]}"""
    key = add_key(client, acme, limits)
    assert add_key(client, acme) is None, "it is there"
    change = {"spacing_ms": 250, "is_enabled": False}
    assert act(client, KEY_SET, k=key, s='{"spacing_ms": 250, "is_enabled": false}') == {
        "spacing_ms": [125, 250],
        "is_enabled": [True, False],
    }
    assert act(client, KEY_SET, k=key, s='{"spacing_ms": 250}') == {}
    stored = client.rows("SELECT * FROM api_keys")[0]
    assert {name: stored[name] for name in change} == change
    assert (stored["requests_per_window"], stored["window_seconds"]) == (165, 30)
    assert stored["extra_windows"] == [{"requests": 1000, "seconds": 3600}]
    assert act(client, "SELECT key_remove(:k)", k=key) is True
    assert client.rows("SELECT * FROM api_keys") == []

    told = events(client)
    assert [(e["action"], e["details"]["hint"], e["details"]["key"]) for e in told] == [
        ("key.added", "z789", str(key)),
        ("key.changed", "z789", str(key)),
        ("key.removed", "z789", str(key)),
    ]
    assert {(e["actor"], e["tenant_slug"]) for e in told} == {("boss@example.com", "acme")}
    for kept in (SECRET, fingerprint("mailtester", SECRET), stored["secret_encrypted"]):
        assert str(kept) not in str(told)


@pytest.mark.parametrize("field", ["secret_encrypted", "fingerprint", "hint", "tenant_id", "id"])
def test_what_a_key_is_cannot_be_set(client: World, field: str) -> None:
    key = add_key(client, client.tenants["acme"])
    before = client.rows("SELECT * FROM api_keys")
    value = str(new_id()) if field.endswith("id") else "\\x00"
    with system_scope(client.app) as c:
        sql = text("SELECT key_set(:k, jsonb_build_object(:f, CAST(:v AS text)))")
        assert c.execute(sql, {"k": key, "f": field, "v": value}).scalar_one() == {}
    assert client.rows("SELECT * FROM api_keys") == before


@pytest.mark.parametrize(
    "windows",
    [
        "{}",
        "[1]",
        "[[]]",
        '[[{"requests": 1, "seconds": 1}]]',
        '[{"requests": 10}]',
        '[{"requests": 0, "seconds": 1}]',
        '[{"requests": 10, "seconds": 0.5}]',
        '[{"requests": "10", "seconds": 1}]',
        '[{"requests": null, "seconds": 1}]',
        '[{"requests": 10, "seconds": 1}, {"seconds": 5}]',
    ],
)
def test_a_window_that_is_none_is_refused(client: World, windows: str) -> None:
    with pytest.raises(IntegrityError, match="api_keys_extra_windows"):
        add_key(client, client.tenants["acme"], f'{{"extra_windows": {windows}}}')


def test_a_key_of_the_platform_is_told_without_a_client(client: World) -> None:
    assert add_key(client, None)
    [event] = events(client)
    assert (event["action"], event["tenant_id"], event["tenant_slug"]) == ("key.added", None, None)
    with client.scope("acme") as c:
        assert c.execute(text("SELECT count(*) FROM audit_events")).scalar_one() == 0
    run(client, "DELETE FROM api_keys")


def test_the_secret_is_had_by_id_and_still_encrypted(client: World) -> None:
    key = add_key(client, client.tenants["acme"])
    with system_scope(client.app) as c:
        row = c.execute(text("SELECT * FROM key_secret(:k)"), {"k": key}).one()
    assert row.tenant_id == client.tenants["acme"]
    assert SECRET.encode() not in bytes(row.secret_encrypted)
    assert decrypt(row.secret_encrypted) == SECRET


def test_a_client_is_put_on_its_lane_rolled_back_put_back_and_removed(world: World) -> None:
    person = add_client(world, "acme")
    tenant, set_lane = world.tenants["acme"], "SELECT client_set_lane(:u, :q, 'x789', :n)"
    row = act(world, set_lane, u=person, q=ACME, n="ACME Corp")
    assert act(world, set_lane, u=person, q=ACME, n=None) == row, "the same row, its notes kept"
    assert world.rows("SELECT notes FROM worker_configs") == [{"notes": "ACME Corp"}]
    active = "SELECT client_set_active(:t, :a)"
    assert [act(world, active, t=tenant, a=a) for a in (False, False, True, True)] == [1, 0, 1, 0]
    assert act(world, "SELECT client_remove_lane(:t)", t=tenant) == 1
    there, back = (SHARED, ACME), (ACME, SHARED)
    assert [move[2:4] for move in moves(world)] == [there, back, there, back]
    assert {move[0] for move in moves(world)} == {"boss@example.com"}


def test_a_client_moves_from_one_persons_lane_to_anothers_in_one_step(world: World) -> None:
    give_lane(world, add_client(world, "acme"), "verification-queue:client-old")
    second = world.add_user("acme", "second@example.com")
    act(world, "SELECT client_set_lane(:u, :q, NULL, NULL)", u=second, q=ACME)
    assert [move[2:4] for move in moves(world)][1:] == [("verification-queue:client-old", ACME)]
    assert lane_in_force(world, "acme") == ACME
    assert world.rows("SELECT verification_queue AS q FROM worker_configs WHERE is_active") == [
        {"q": ACME}
    ]


def test_the_log_is_read_backwards_in_pages_and_by_client(world: World) -> None:
    for slug in ("acme", "birch"):
        add_client(world, slug)
        for weight in (2, 3):
            act(world, CLIENT_SET, t=world.tenants[slug], s=f'{{"weight": {weight}}}')

    def read(tenant: UUID | None = None, before: object = None) -> list[Any]:
        with system_scope(world.app) as c:
            sql = text("SELECT * FROM audit_log(:t, 2, :b)")
            return list(c.execute(sql, {"t": tenant, "b": before}))

    page = read()
    assert [e.tenant_slug for e in page] == ["birch", "birch"]
    assert page[0].id > page[1].id
    assert [e.tenant_slug for e in read(before=page[-1].id)] == ["acme", "acme"]
    assert [e.details["weight"] for e in read(world.tenants["acme"])] == [[2, 3], [1, 2]]


def test_the_longest_page_can_tell_that_there_is_more(world: World) -> None:
    run(
        world,
        "INSERT INTO audit_events (actor, action) SELECT 'op', 'x' FROM generate_series(1, 600)",
    )
    with system_scope(world.app) as c:
        assert len(c.execute(text("SELECT * FROM audit_log(NULL, 1000)")).all()) == 501
