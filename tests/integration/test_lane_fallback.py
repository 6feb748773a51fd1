"""Lanes whose workers are gone: noticed, left after the client's time if it wishes, taken up again when one is back."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from app.db.scope import system_scope
from routing.worker_configs import find_client
from tests.integration.client_world import (
    ACME,
    PRESENCE_SECONDS,
    SHARED,
    add_client,
    dismiss,
    give_lane,
    lane_in_force,
    moves,
    run,
    tend,
)
from tests.integration.ledger_world import World

NEW = "verification-queue:client-new"


@pytest.fixture
def client(world: World) -> World:
    """A client with a lane of its own and work, whose worker was never there; the shared lane has one."""
    give_lane(world, add_client(world, "acme"))
    world.attend(SHARED, 8)
    world.submit("acme", 100, size=10)
    world.release()
    run(world, "TRUNCATE audit_events")
    return world


def allow(world: World, seconds: int | None) -> None:
    run(world, "UPDATE tenants SET fallback_after_seconds = :s", s=seconds)


def unattended(world: World) -> list[object]:
    return [r["queue"] for r in world.rows("SELECT queue FROM lane_attendance ORDER BY 1")]


def let_pass(world: World, seconds: int) -> None:
    """Let lanes have been without a worker for so much longer."""
    run(
        world,
        "UPDATE lane_attendance SET unattended_since = unattended_since - make_interval(secs => :s)",
        s=seconds,
    )


def fall_back(world: World) -> None:
    allow(world, 60)
    tend(world)
    let_pass(world, 61)
    assert tend(world) == 1
    assert lane_in_force(world, "acme") is None


@contextmanager
def another_tends(world: World) -> Iterator[None]:
    """Be in the middle of another worker's look."""
    with world.app.connect() as c:
        c.execute(text("SELECT tend_lanes(:p)"), {"p": PRESENCE_SECONDS})
        yield
        c.rollback()


def world_watch(world: World) -> list[dict[str, object]]:
    with system_scope(world.app) as c:
        return [dict(row) for row in c.execute(text("SELECT * FROM lane_watch()")).mappings()]


def test_a_lane_with_work_and_no_worker_is_noted_until_one_is_there(client: World) -> None:
    assert tend(client) == 0
    assert unattended(client) == [ACME]
    since = client.rows("SELECT unattended_since FROM lane_attendance")
    tend(client)
    assert client.rows("SELECT unattended_since FROM lane_attendance") == since
    client.attend(ACME, 4)
    tend(client)
    assert unattended(client) == []
    dismiss(client, ACME)
    tend(client)
    assert unattended(client) == [ACME]


def test_a_lane_without_work_needs_nobody(client: World) -> None:
    run(client, "UPDATE chunks SET status = 'done'")
    tend(client)
    assert unattended(client) == []
    assert world_watch(client) == []


def test_a_lane_whose_work_ended_is_forgotten(client: World) -> None:
    tend(client)
    run(client, "UPDATE chunks SET status = 'cancelled', queue = NULL")
    tend(client)
    assert unattended(client) == []


def test_operators_are_shown_both_kinds_of_trouble(client: World) -> None:
    tend(client)
    [waiting] = world_watch(client)
    assert waiting["queue"] == ACME
    assert waiting["unattended_since"] is not None
    fall_back(client)
    tend(client)
    [left] = world_watch(client)
    assert (left["queue"], left["unattended_since"], left["fallback_tenants"]) == (
        ACME,
        None,
        ["acme"],
    )


@pytest.mark.parametrize(
    ("allowed", "passed", "falls"), [(60, 61, True), (60, 50, False), (None, 9999, False)]
)
def test_work_goes_to_the_shared_lane_after_the_clients_time_if_it_wishes(
    client: World, *, allowed: int | None, passed: int, falls: bool
) -> None:
    allow(client, allowed)
    tend(client)
    let_pass(client, passed)
    assert tend(client) == int(falls)
    assert lane_in_force(client, "acme") == (None if falls else ACME)
    assert moves(client) == ([("fall-back", "acme", ACME, SHARED, 10)] if falls else [])
    assert {chunk.queue for chunk in client.release()} <= ({SHARED} if falls else {ACME})


def test_released_chunks_go_along_and_their_old_messages_do_nothing(world: World) -> None:
    give_lane(world, add_client(world, "acme"))
    world.attend(SHARED, 8)
    world.submit("acme", 100, size=10)
    old = world.release()
    fall_back(world)
    assert [world.take(message) for message in old] == [None] * len(old)
    new = world.release()
    assert new
    assert {chunk.queue for chunk in new} == {SHARED}
    assert world.take(new[0])


def test_nobody_falls_back_to_a_lane_that_is_not_served_either(client: World) -> None:
    dismiss(client, SHARED)
    allow(client, 60)
    tend(client)
    let_pass(client, 9999)
    assert tend(client) == 0
    assert lane_in_force(client, "acme") == ACME


def test_work_comes_back_with_the_first_worker_on_its_lane(client: World) -> None:
    fall_back(client)
    assert tend(client) == 0
    client.attend(ACME, 4)
    assert tend(client) == 1
    assert lane_in_force(client, "acme") == ACME
    assert [move[:4] for move in moves(client)] == [
        ("fall-back", "acme", ACME, SHARED),
        ("fall-back", "acme", SHARED, ACME),
    ]
    assert {chunk.queue for chunk in client.release()} == {ACME}


def test_it_ends_with_the_wish(client: World) -> None:
    fall_back(client)
    allow(client, None)
    assert tend(client) == 1
    assert lane_in_force(client, "acme") == ACME


@pytest.mark.parametrize(
    ("change", "lane", "last"),
    [
        (
            f"UPDATE worker_configs SET verification_queue = '{NEW}'",
            NEW,
            [("sql", "acme", SHARED, NEW, 10)],
        ),
        ("UPDATE worker_configs SET is_active = false", None, []),
        ("DELETE FROM worker_configs", None, []),
    ],
)
def test_a_changed_row_ends_it_and_says_so(
    client: World, change: str, lane: str | None, last: list[tuple[object, ...]]
) -> None:
    fall_back(client)
    run(client, change)
    assert client.rows("SELECT * FROM lane_fallbacks") == []
    assert lane_in_force(client, "acme") == lane
    assert moves(client)[1:] == last
    ended = client.rows("SELECT details FROM audit_events WHERE action = 'fallback.ended'")
    assert ended == [{"details": {"queue": ACME}}]
    client.attend(ACME, 4)
    assert tend(client) == 0


def test_a_note_on_the_row_does_not_end_it(client: World) -> None:
    fall_back(client)
    run(client, "UPDATE worker_configs SET notes = 'their host is down'")
    assert lane_in_force(client, "acme") is None


def test_only_one_of_two_who_look_at_once_acts(client: World) -> None:
    allow(client, 60)
    tend(client)
    let_pass(client, 61)
    with another_tends(client):
        assert tend(client) == 0
        assert moves(client) == []
    assert tend(client) == 1
    assert len(moves(client)) == 1


def test_a_worker_that_comes_back_finds_its_clients_lane_and_is_not_told_it_has_none(
    client: World,
) -> None:
    fall_back(client)
    with system_scope(client.app) as c:
        found = find_client(c, client.tenants["acme"])
    assert found is not None
    assert found.queue == ACME


def test_less_than_half_a_minute_is_no_time_to_come_back_in(world: World) -> None:
    world.add_tenant("acme")
    with pytest.raises(Exception, match="tenants_fallback_after"):
        allow(world, 29)


def test_who_acts_is_not_taken_along(client: World) -> None:
    """What the same transaction does after a look is not the fall-back's."""
    allow(client, 60)
    tend(client)
    let_pass(client, 61)
    with client.owner.begin() as c:
        c.execute(text("SELECT tend_lanes(:p)"), {"p": PRESENCE_SECONDS})
        c.execute(text("UPDATE worker_configs SET is_active = false"))
    actors = client.rows("SELECT actor FROM audit_events ORDER BY id")
    assert [row["actor"] for row in actors] == ["fall-back", "sql"]
