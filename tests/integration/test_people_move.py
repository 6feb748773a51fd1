"""People who move to another client take an active row along, but never a lane that stays another client's."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from tests.integration.client_world import (
    ACME,
    SHARED,
    add_client,
    give_lane,
    hint_of,
    lane_in_force,
    put_lane,
    run,
    tend,
    wait_until,
)
from tests.integration.ledger_world import World

MOVE = "UPDATE users SET tenant_id = :t WHERE id = :p"
WAITS = "SELECT 1 AS x FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def twins(world: World) -> tuple[UUID, UUID]:
    """Two people of one client, each with an active row for its lane; another client is there."""
    world.add_tenant("birch")
    first, second = add_client(world, "acme"), world.add_user("acme", "second@example.com")
    for person in (first, second):
        give_lane(world, person, ACME)
    return first, second


def lanes(world: World) -> dict[str, object]:
    tend(world)
    return {slug: lane_in_force(world, slug) for slug in world.tenants}


def test_a_lane_that_others_keep_is_not_taken_along(world: World, twins: tuple[UUID, UUID]) -> None:
    with pytest.raises(IntegrityError, match=r"second@example.com can't take the lane") as caught:
        run(world, MOVE, t=world.tenants["birch"], p=twins[1])
    constraint, hint = hint_of(caught.value)
    assert constraint == "worker_configs_queue_once"
    # What the hint says to do is what helps.
    run(world, hint.partition(": ")[2].partition(";")[0])
    run(world, MOVE, t=world.tenants["birch"], p=twins[1])
    assert lanes(world) == {"acme": ACME, "birch": None}


def test_people_who_move_together_take_their_lane_along(
    world: World, twins: tuple[UUID, UUID]
) -> None:
    run(world, "UPDATE users SET tenant_id = :t", t=world.tenants["birch"])
    assert lanes(world) == {"acme": None, "birch": ACME}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE worker_configs SET is_active = false",
        "UPDATE worker_configs SET worker_mode = 'shared'",
        f"UPDATE worker_configs SET verification_queue = '{SHARED}'",
    ],
)
def test_a_row_that_makes_no_lane_is_in_nobodys_way(
    world: World, twins: tuple[UUID, UUID], change: str
) -> None:
    run(world, f"{change} WHERE user_id = '{twins[1]}'")
    run(world, MOVE, t=world.tenants["birch"], p=twins[1])
    assert lanes(world) == {"acme": ACME, "birch": None}


def test_a_person_who_becomes_an_operator_and_comes_back_is_looked_at_then(
    world: World, twins: tuple[UUID, UUID]
) -> None:
    run(world, "UPDATE users SET role = 'operator', tenant_id = NULL WHERE id = :p", p=twins[1])
    with pytest.raises(IntegrityError, match="can't take the lane"):
        run(world, MOVE, t=world.tenants["birch"], p=twins[1])
    run(world, MOVE, t=world.tenants["acme"], p=twins[1])
    assert lanes(world) == {"acme": ACME, "birch": None}


@pytest.mark.parametrize("mover_is_first", [True, False])
def test_of_a_move_and_a_new_row_at_once_the_second_is_refused(
    world: World, mover_is_first: bool
) -> None:
    """Each looks for what the other has not committed yet, unless one waits."""
    world.add_tenant("birch")
    give_lane(world, add_client(world, "acme"), ACME)
    second = world.add_user("acme", "second@example.com")

    def move(c: Connection) -> None:
        c.execute(text(MOVE), {"t": world.tenants["birch"], "p": second})

    def take_lane(c: Connection) -> None:
        put_lane(c, second, ACME)

    first, then = (move, take_lane) if mover_is_first else (take_lane, move)
    with ThreadPoolExecutor(1) as thread:
        with world.owner.begin() as c:
            first(c)
            other = thread.submit(in_a_transaction, world, then)
            wait_until(lambda: world.rows(WAITS), "the other one waits")
        with pytest.raises(IntegrityError) as caught:
            other.result()
    assert hint_of(caught.value)[0] == "worker_configs_queue_once"
    assert lane_in_force(world, "acme") == ACME


def in_a_transaction(world: World, act: Callable[[Connection], None]) -> None:
    with world.owner.begin() as c:
        act(c)
