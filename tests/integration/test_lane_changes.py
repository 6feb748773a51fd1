"""What may be written to `worker_configs`, and that each change of a lane is told: by whom, from where, to where."""

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
    moves,
    new_id,
    put_lane,
    run,
    tend,
    wait_until,
    waits_for_a_lock,
)
from tests.integration.ledger_world import World

GOOD = [SHARED, ACME, f"{SHARED}:client-7", f"{SHARED}:client-a-1", f"{SHARED}:client-{'a' * 63}"]
BAD = [
    "",
    "client-acme",
    "enrichment-job-creation",
    f"{SHARED}:acme",
    f"{SHARED}:client-",
    f"{SHARED}:client-Acme",
    f"{SHARED}:client-acme-",
    f"{SHARED}:client--acme",
    f"{SHARED}:client-a b",
    f"{SHARED}:client-acme,{SHARED}:client-birch",
    f"{ACME}\n",
    f" {ACME}",
    f"{SHARED}:client-{'a' * 64}",
]
ACTIVATE = "UPDATE worker_configs SET is_active = true WHERE id = :id"


def refusal(error: pytest.ExceptionInfo[IntegrityError]) -> tuple[str, str]:
    return hint_of(error.value)


@pytest.mark.parametrize("queue", GOOD)
def test_a_lane_may_have_these_names(world: World, queue: str) -> None:
    give_lane(world, add_client(world, "acme"), queue)
    assert lane_in_force(world, "acme") == (None if queue == SHARED else queue)


def insert(c: Connection, person: UUID, queue: str) -> None:
    put_lane(c, person, queue)


def update(c: Connection, person: UUID, queue: str) -> None:
    put_lane(c, person, ACME)
    c.execute(text("UPDATE worker_configs SET verification_queue = :q"), {"q": queue})


def enable(c: Connection, person: UUID, queue: str) -> None:
    c.execute(text(ACTIVATE), {"id": put_lane(c, person, queue or "x", is_active=False)})


def make_dedicated(c: Connection, person: UUID, queue: str) -> None:
    c.execute(
        text("""INSERT INTO worker_configs (user_id, worker_mode, verification_queue)
                VALUES (:u, 'shared', :q)"""),
        {"u": person, "q": queue},
    )
    c.execute(text("UPDATE worker_configs SET worker_mode = 'dedicated'"))


@pytest.mark.parametrize("way", [insert, update, enable, make_dedicated])
@pytest.mark.parametrize("queue", BAD)
def test_another_name_is_refused_with_an_example(
    world: World, queue: str, way: Callable[[Connection, UUID, str], None]
) -> None:
    person = add_client(world, "acme")
    with pytest.raises(IntegrityError) as error, world.owner.begin() as c:
        way(c, person, queue)
    constraint, hint = refusal(error)
    assert constraint == "worker_configs_queue_name"
    assert "verification-queue:client-acme" in hint


def test_a_dedicated_row_without_a_name_is_refused(world: World) -> None:
    person = add_client(world, "acme")
    with (
        pytest.raises(IntegrityError, match="worker_configs_queue_needed"),
        world.owner.begin() as c,
    ):
        put_lane(c, person, None)


def test_a_person_without_a_client_has_no_lane(world: World) -> None:
    operator = world.rows(
        """INSERT INTO users (email, role, password_hash) VALUES ('boss@example.com', 'operator', 'x')
           ON CONFLICT (email) DO UPDATE SET role = 'operator' RETURNING id"""
    )[0]["id"]
    for person in (operator, new_id()):
        with pytest.raises(IntegrityError) as error, world.owner.begin() as c:
            put_lane(c, person, ACME)  # type: ignore[arg-type]
        assert refusal(error)[0] == "worker_configs_client_needed"
    run(world, "DELETE FROM users WHERE id = :i", i=operator)


def test_any_row_can_be_taken_out_of_use_also_one_of_before_the_check(world: World) -> None:
    person = add_client(world, "acme")
    run(world, "ALTER TABLE worker_configs DISABLE TRIGGER worker_configs_check")
    row = give_lane(world, person, "An old name")
    run(world, "ALTER TABLE worker_configs ENABLE TRIGGER worker_configs_check")
    run(world, "UPDATE worker_configs SET notes = 'still here'")
    assert lane_in_force(world, "acme") == "An old name"
    run(world, "UPDATE worker_configs SET is_active = false")
    assert lane_in_force(world, "acme") is None
    with pytest.raises(IntegrityError, match="not a lane's name"):
        run(world, ACTIVATE, id=row)
    run(world, "DELETE FROM worker_configs")


def test_a_lane_is_one_active_clients(world: World) -> None:
    acme, birch = add_client(world, "acme"), add_client(world, "birch")
    give_lane(world, acme)
    with pytest.raises(IntegrityError) as error, world.owner.begin() as c:
        put_lane(c, birch, ACME)
    assert refusal(error)[0] == "worker_configs_queue_once"
    assert "acme" in str(error.value)
    # Its own people may share it, and a name out of use is free.
    give_lane(world, world.add_user("acme", "second@example.com"))
    run(world, "UPDATE worker_configs SET is_active = false")
    give_lane(world, birch)
    with pytest.raises(IntegrityError, match="the client birch's already"):
        run(world, "UPDATE worker_configs SET is_active = true WHERE user_id = :u", u=acme)
    run(
        world,
        "UPDATE worker_configs SET verification_queue = 'verification-queue:client-b' WHERE is_active",
    )
    run(world, "UPDATE worker_configs SET is_active = true WHERE user_id = :u", u=acme)
    assert (lane_in_force(world, "acme"), lane_in_force(world, "birch")) == (
        ACME,
        "verification-queue:client-b",
    )


def test_any_number_may_name_the_shared_lane(world: World) -> None:
    for slug in ("acme", "birch"):
        give_lane(world, add_client(world, slug), SHARED)
    assert moves(world) == []


@pytest.mark.parametrize("is_kept", [True, False])
def test_of_two_who_take_a_name_at_once_the_second_waits_for_the_first(
    world: World, *, is_kept: bool
) -> None:
    acme, birch = add_client(world, "acme"), add_client(world, "birch")
    with ThreadPoolExecutor(1) as pool, world.owner.connect() as first:
        put_lane(first, acme, ACME)
        second = pool.submit(give_lane, world, birch)
        wait_until(lambda: waits_for_a_lock(world), "the second waits")
        if is_kept:
            first.commit()
            with pytest.raises(IntegrityError, match="the client acme's already"):
                second.result()
        else:
            first.rollback()
            second.result()
    assert lane_in_force(world, "acme" if is_kept else "birch") == ACME


def test_each_change_tells_who_from_where_to_where_and_how_much(world: World) -> None:
    person = add_client(world, "acme")
    world.submit("acme", 60, size=10)
    started, *_ = world.release(window=4)
    assert world.take(started)
    give_lane(world, person)
    event = world.rows("SELECT details FROM audit_events")[0]
    assert event["details"] == {"recalled": 3, "running": 1}
    with world.owner.begin() as c:
        c.execute(text("SELECT set_config('laneway.actor', 'boss@example.com', true)"))
        c.execute(
            text("UPDATE worker_configs SET verification_queue = 'verification-queue:client-new'")
        )
    run(world, "DELETE FROM worker_configs")
    new = "verification-queue:client-new"
    assert moves(world) == [
        ("sql", "acme", SHARED, ACME, 5),
        ("boss@example.com", "acme", ACME, new, 5),
        ("sql", "acme", new, SHARED, 5),
    ]


def test_what_changes_no_lane_is_not_told(world: World) -> None:
    person = add_client(world, "acme")
    give_lane(world, person, is_active=False)
    assert moves(world) == []
    run(world, "UPDATE worker_configs SET is_active = true")
    run(world, "UPDATE worker_configs SET notes = 'x', api_key_hint = 'x789'")
    run(world, "UPDATE worker_configs SET verification_queue = verification_queue")
    # Another's row with the same lane is in force now, and then the first again.
    give_lane(world, world.add_user("acme", "second@example.com"))
    run(world, "DELETE FROM users WHERE email = 'second@example.com'")
    assert len(moves(world)) == 1


def test_the_newest_row_of_a_clients_people_is_in_force(world: World) -> None:
    give_lane(world, add_client(world, "acme"))
    newer = give_lane(
        world, world.add_user("acme", "second@example.com"), "verification-queue:client-newer"
    )
    run(world, "DELETE FROM worker_configs WHERE id = :i", i=newer)
    assert [move[2:4] for move in moves(world)] == [
        (SHARED, ACME),
        (ACME, "verification-queue:client-newer"),
        ("verification-queue:client-newer", ACME),
    ]


def test_a_lane_goes_with_its_person(world: World) -> None:
    person = add_client(world, "acme")
    give_lane(world, person)
    world.submit("acme", 30)
    assert {chunk.queue for chunk in world.release()} == {ACME}
    run(world, "DELETE FROM users WHERE id = :i", i=person)
    assert moves(world)[-1] == ("sql", "acme", ACME, SHARED, 3)
    assert {chunk.queue for chunk in world.release()} == {SHARED}


def test_people_who_move_to_another_client_are_noticed(world: World) -> None:
    person = add_client(world, "acme")
    add_client(world, "birch")
    give_lane(world, person)
    run(world, "UPDATE users SET tenant_id = :t WHERE id = :i", t=world.tenants["birch"], i=person)
    assert tend(world) == 2
    assert sorted(moves(world)[1:]) == [
        ("sql", "acme", ACME, SHARED, 0),
        ("sql", "birch", SHARED, ACME, 0),
    ]
    assert tend(world) == 0


def test_what_was_told_of_a_client_outlives_it(world: World) -> None:
    give_lane(world, add_client(world, "acme"))
    run(world, "DELETE FROM tenants")
    assert moves(world) == [("sql", "acme", SHARED, ACME, 0)]
    assert world.rows("SELECT * FROM tenant_routes") == []
