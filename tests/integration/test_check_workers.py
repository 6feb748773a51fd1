"""What a check says of workers: named for the client or not, for one client or several, on its queue or another."""

import json
from collections.abc import Sequence
from uuid import UUID

import pytest
from sqlalchemy import text

from app.clients.check_lane import CheckLine, queue_names, worker_alive
from app.clients.check_workers import LaneWorker, live_workers
from app.clients.clients import ClientRow, get_client
from app.db.scope import system_scope
from tests.integration.client_world import ACME, add_client, give_lane, new_id
from tests.integration.ledger_world import World

BIRCH = "verification-queue:client-birch"


@pytest.fixture
def people(world: World) -> dict[str, UUID]:
    """The people of two clients with lanes of their own."""
    found = {slug: add_client(world, slug) for slug in ("acme", "birch")}
    for slug, queue in (("acme", ACME), ("birch", BIRCH)):
        give_lane(world, found[slug], queue)
    return found


def start(
    world: World,
    queues: Sequence[str],
    clients: Sequence[UUID],
    *,
    keys: Sequence[tuple[str, UUID | None]] = (),
    only: UUID | None = None,
) -> None:
    """Let a worker live that says so of itself; `keys` are (hint, client)."""
    carried = [{"hint": hint, "client_id": client and str(client)} for hint, client in keys]
    with world.owner.begin() as c:
        c.execute(
            text("""INSERT INTO workers (id, name, hostname, pid, mode, client_id, client_ids, queues, slots, environment_keys)
                    VALUES (:id, 'w', 'h', 1, 'dedicated', :only, CAST(:clients AS uuid[]), :queues, 8, CAST(:keys AS jsonb))"""),
            {
                "id": new_id(),
                "only": only,
                "clients": list(clients),
                "queues": list(queues),
                "keys": json.dumps(carried),
            },
        )


def look(world: World, slug: str = "acme") -> tuple[ClientRow, list[LaneWorker]]:
    with system_scope(world.app) as connection:
        client = get_client(connection, slug, 15)
        return client, live_workers(connection, client, 15)


def lines(world: World, slug: str = "acme") -> tuple[CheckLine, CheckLine]:
    seen = look(world, slug)
    return queue_names(*seen), worker_alive(*seen)


def test_of_several_clients_each_is_told_of_its_own_keys(
    world: World, people: dict[str, UUID]
) -> None:
    keys = [("a789", people["acme"]), ("a012", people["acme"])]
    start(world, [ACME, BIRCH], [people["acme"], world.tenants["birch"]], keys=keys)
    assert [worker.carried for worker in look(world)[1]] == [["a012", "a789"]]
    names, alive = lines(world)
    assert names.ok
    assert alive.detail == "w (dedicated, 8 slots, for 2 clients, with its own keys …a012, …a789)"
    names, alive = lines(world, "birch")
    assert names.ok
    assert alive.detail == "w (dedicated, 8 slots, for 2 clients, with the keys of the database)"


def test_a_worker_for_several_others_is_a_stranger(world: World, people: dict[str, UUID]) -> None:
    gone = new_id()
    start(world, [ACME, BIRCH], [gone, people["birch"]], keys=[("g789", gone)])
    names, alive = lines(world)
    assert (names.ok, alive.ok) == (False, False)
    assert alive.detail == "w consumes this lane for other clients"
    assert str(alive.remedy).startswith(f"Name {world.tenants['acme']} in its DEDICATED_CLIENT_ID")
    assert all(line.ok for line in lines(world, "birch"))


def test_a_worker_for_several_with_another_queue_is_told_where_it_belongs(
    world: World, people: dict[str, UUID]
) -> None:
    start(world, ["verification-queue:client-acne", BIRCH], [people["acme"], people["birch"]])
    names, alive = lines(world)
    assert (names.ok, alive.ok) == (False, False)
    assert f"Put {ACME} into its VERIFICATION_QUEUE" in str(names.remedy)


def test_a_worker_of_the_version_before_names_its_only_client(
    world: World, people: dict[str, UUID]
) -> None:
    start(world, [ACME], [], only=people["acme"], keys=[("a789", None)])
    names, alive = lines(world)
    assert names.ok
    assert alive.detail == "w (dedicated, 8 slots, with its own keys …a789)"


def test_a_worker_that_names_nobody_takes_the_lane_by_its_command_line(
    world: World, people: dict[str, UUID]
) -> None:
    start(world, [ACME, BIRCH], [])
    names, alive = lines(world)
    assert names.detail == f"w consumes {ACME}, by its command line"
    assert alive.detail == "w (dedicated, 8 slots)"
