"""Acts on one client's lane: in turn, whoever does them; each told of; and none waits for a worker that is frozen."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, text

from app.clients.clients import LaneChange, remove, rollback
from app.clients.keys import NewKey
from app.clients.onboarding import Onboarded, Onboarding, onboard
from app.db.refusals import refusals_explained
from app.db.scope import system_scope
from app.errors import Overtaken
from tests.conftest import Environment
from tests.integration.client_world import ACME, SHARED, add_client, give_lane, run, wait_until
from tests.integration.ledger_world import World

KEYS = [NewKey(SecretStr("mt_abc123xyz789")), NewKey(SecretStr("mt_def456uvw012"))]
LOCK_WAITS = """SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'"""
Act = Callable[[Connection], Any]


@pytest.fixture
def acme(world: World, environment: Environment) -> World:
    """A client with one person, and no lane yet."""
    run(world, "TRUNCATE api_keys")
    add_client(world, "acme")
    return world


def told(world: World, action: str = "lane.%") -> list[tuple[object, object]]:
    found = world.rows("SELECT * FROM audit_events WHERE action LIKE :a ORDER BY id", a=action)
    return [(event["action"], event["details"]) for event in found]


def order(**changes: Any) -> Onboarding:
    return Onboarding(**{"email": "acme@example.com", "queue": ACME, "keys": KEYS} | changes)


def alone(act: Act) -> Any:
    with system_scope() as connection:
        return act(connection)


def at_once(world: World, first: Act, second: Act) -> tuple[Any, Any]:
    """Do two acts; the second begins before the first is committed and has to wait for it."""
    with ThreadPoolExecutor(1) as thread:
        with system_scope() as connection:
            done = first(connection)
            other = thread.submit(alone, second)
            wait_until(lambda: world.rows(LOCK_WAITS), "the other one waits")
        return done, other.result()


def test_a_lane_that_is_removed_is_told_also_where_it_was_not_in_use(acme: World) -> None:
    tenant = acme.tenants["acme"]
    alone(lambda c: onboard(c, order()))
    alone(lambda c: rollback(c, tenant))
    run(acme, "TRUNCATE audit_events")
    assert alone(lambda c: remove(c, tenant)) == LaneChange(SHARED, SHARED, 0)
    assert told(acme) == [("lane.removed", {"queue": ACME, "was_active": False})]
    alone(lambda c: remove(c, tenant))
    assert len(told(acme)) == 1, "nothing was left to remove"


def test_a_lane_in_use_that_is_removed_is_told_before_the_move(acme: World) -> None:
    alone(lambda c: onboard(c, order()))
    run(acme, "TRUNCATE audit_events")
    assert alone(lambda c: remove(c, acme.tenants["acme"])) == LaneChange(ACME, SHARED, 0)
    (action, details), (move, _) = told(acme)
    assert (action, details) == ("lane.removed", {"queue": ACME, "was_active": True})
    assert move == "lane.changed"


def test_other_notes_of_a_lane_are_told_and_the_same_are_not(acme: World) -> None:
    for notes in ("Acme", "Acme", None, "Acme GmbH"):
        alone(lambda c, notes=notes: onboard(c, order(notes=notes)))  # type: ignore[misc]
    notes = [details for action, details in told(acme) if action == "lane.notes"]
    assert notes == [
        {"queue": ACME, "notes": [None, "Acme"]},
        {"queue": ACME, "notes": ["Acme", "Acme GmbH"]},
    ]


@pytest.mark.parametrize("keys", [KEYS, []], ids=["with keys", "without"])
def test_one_client_onboarded_twice_at_once_is_onboarded_once(
    acme: World, keys: list[NewKey]
) -> None:
    def act(connection: Connection) -> Onboarded:
        return onboard(connection, order(keys=keys))

    first, second = at_once(acme, act, act)
    assert first.change == LaneChange(SHARED, ACME, 0)
    assert second.change == LaneChange(ACME, ACME, 0)
    assert (second.key_ids, second.added) == (first.key_ids, ())
    assert len(acme.rows("SELECT 1 AS x FROM worker_configs")) == 1


def test_one_new_client_made_twice_at_once_is_made_once(acme: World) -> None:
    def act(connection: Connection) -> Onboarded:
        return onboard(connection, order(email="ann@new.example", name="New", slug="new"))

    first, second = at_once(acme, act, act)
    assert first.password
    assert second.password is None
    assert (second.client.id, second.key_ids) == (first.client.id, first.key_ids)


def test_two_on_one_client_take_turns(acme: World) -> None:
    """Each would otherwise hold a row that the other one comes to later."""
    tenant = acme.tenants["acme"]
    alone(lambda c: onboard(c, order()))
    acme.add_user("acme", "second@example.com")
    before, after = at_once(
        acme,
        lambda c: onboard(c, order(email="second@example.com", queue=f"{ACME}-2")).change,
        lambda c: rollback(c, tenant),
    )
    assert before == LaneChange(ACME, f"{ACME}-2", 0)
    assert after == LaneChange(f"{ACME}-2", SHARED, 0)


@pytest.mark.parametrize(
    "act",
    [
        "SELECT client_set_lane(:u, :q, NULL, NULL)",
        "SELECT client_set_active(:t, false)",
        "SELECT client_remove_lane(:t)",
    ],
)
def test_every_act_locks_the_client_before_its_rows(acme: World, act: str) -> None:
    """A row that somebody holds without the client is waited for with the client in hand, so nobody else comes to rows."""
    person = acme.rows("SELECT id FROM users")[0]["id"]
    give_lane(acme, person, ACME)  # type: ignore[arg-type]
    values = {"u": person, "q": f"{ACME}-2", "t": acme.tenants["acme"]}
    with ThreadPoolExecutor(1) as thread:
        with acme.owner.begin() as holder:
            holder.execute(text("SELECT 1 FROM worker_configs FOR UPDATE"))
            waiting = thread.submit(alone, lambda c: c.execute(text(act), values).all())
            wait_until(lambda: acme.rows(LOCK_WAITS), "the act waits for the row")
            locked = "SELECT 1 AS x FROM tenants FOR NO KEY UPDATE SKIP LOCKED"
            assert acme.rows(locked) == []
        waiting.result()


def test_a_deadlock_is_said_to_be_somebody_elses_act(acme: World) -> None:
    with pytest.raises(Overtaken, match="just now"), acme.owner.begin() as c, refusals_explained():
        c.execute(text("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"))


def test_no_change_of_lanes_waits_for_a_chunk_that_somebody_holds(acme: World) -> None:
    """As a worker that was frozen between taking a chunk and its commit."""
    alone(lambda c: onboard(c, order()))
    acme.submit("acme", 20, size=10)
    held, free = acme.release()
    with acme.owner.begin() as holder:
        holder.execute(text("SELECT 1 FROM chunks WHERE id = :i FOR UPDATE"), {"i": held.chunk_id})

        def act(connection: Connection) -> LaneChange:
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            return rollback(connection, acme.tenants["acme"])

        assert alone(act) == LaneChange(ACME, SHARED, 1)
    states = {row["id"]: row["status"] for row in acme.rows("SELECT id, status FROM chunks")}
    assert states == {held.chunk_id: "released", free.chunk_id: "ready"}
