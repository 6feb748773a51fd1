"""Keys in a dedicated worker's environment: in force for its client only while it serves the client's lane in force."""

import json

import pytest
from pydantic import SecretStr

from app.clients.clients import get_client
from app.clients.keys import KeyFacts, NewKey, add_key, client_keys, serving_keys
from app.db.scope import system_scope
from app.jobs.lane_keys import KeyBook
from tests.conftest import Environment
from tests.integration.client_world import ACME, SHARED, add_client, dismiss, give_lane, run
from tests.integration.ledger_world import World

OTHER = "verification-queue:client-acme-2"


@pytest.fixture
def acme(world: World, environment: Environment) -> World:
    """A client with a stored key, and a live worker on its lane that carries another."""
    run(world, "TRUNCATE api_keys")
    person = add_client(world, "acme")
    give_lane(world, person)
    with system_scope() as connection:
        add_key(connection, world.tenants["acme"], NewKey(SecretStr("mt_abc123xyz789")))
    world.attend(ACME, 8)
    carry(world, str(person))
    return world


def carry(world: World, client: str) -> None:
    key = {"fingerprint": "f", "hint": "0001", "spacing_ms": 250, "client_id": client}
    run(world, "UPDATE workers SET environment_keys = CAST(:k AS jsonb)", k=json.dumps([key]))


def keys(world: World, *, serving: bool = True) -> list[KeyFacts]:
    with system_scope() as connection:
        client = get_client(connection, "acme", 15)
        return (serving_keys if serving else client_keys)(connection, client)


def in_force(world: World) -> list[str]:
    """Return the keys that serve the client; what its lane reckons with are as many."""
    found = [key.hint for key in keys(world)]
    with system_scope() as connection:
        assert KeyBook(connection, 15).keys_for(["acme"]).count == len(found)
    return found


def test_a_worker_on_the_clients_lane_brings_its_keys(acme: World) -> None:
    assert in_force(acme) == ["0001"]


def test_after_a_roll_back_the_stored_keys_serve(acme: World) -> None:
    run(acme, "UPDATE worker_configs SET is_active = false")
    assert in_force(acme) == ["z789"]
    assert {(key.hint, key.in_force) for key in keys(acme, serving=False)} == {
        ("0001", False),
        ("z789", True),
    }


def test_a_worker_on_a_lane_of_before_brings_nothing(acme: World) -> None:
    run(acme, "UPDATE worker_configs SET verification_queue = :q", q=OTHER)
    assert in_force(acme) == ["z789"]


def test_of_two_workers_with_one_key_the_one_that_serves_counts(acme: World) -> None:
    person = acme.rows("SELECT id FROM users")[0]["id"]
    acme.attend(OTHER, 8)
    carry(acme, str(person))
    assert in_force(acme) == ["0001"]


def test_a_worker_that_went_silent_brings_nothing(acme: World) -> None:
    run(acme, "UPDATE workers SET last_seen = now() - interval '30 seconds'")
    assert in_force(acme) == ["z789"]


def test_in_a_fall_back_the_stored_keys_serve(acme: World) -> None:
    dismiss(acme, ACME)
    acme.attend(SHARED, 8)
    run(acme, "INSERT INTO lane_fallbacks SELECT id, :q FROM tenants", q=ACME)
    run(acme, "UPDATE workers SET last_seen = now()")
    assert in_force(acme) == ["z789"]
