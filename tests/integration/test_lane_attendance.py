"""The time that a lane has been without a worker runs on while there is work for it, whatever becomes of what was released."""

import pytest

from app.db.scope import system_scope
from app.jobs import release as releasing
from tests.integration.client_world import ACME, SHARED, add_client, give_lane, run, tend
from tests.integration.ledger_world import World

INGEST = "enrichment-job-creation"
AN_HOUR_AGO = "UPDATE lane_attendance SET unattended_since = now() - interval '1 hour'"


@pytest.fixture
def client(world: World) -> World:
    """A client with a lane of its own, work released there, and nobody who serves it."""
    give_lane(world, add_client(world, "acme"))
    world.submit("acme", 100, size=10)
    world.release()
    return world


def recall(world: World) -> None:
    """Take all that is released back, as when its messages are lost."""
    query = "SELECT array_agg(id) AS ids FROM chunks WHERE status = 'released'"
    [row] = world.rows(query)
    with system_scope(world.app) as c:
        releasing.recall(c, row["ids"])  # type: ignore[arg-type]
    assert world.rows(query) == [{"ids": None}]


def long_unattended(world: World) -> list[object]:
    """Lanes that were noted an hour ago and are so still."""
    query = "SELECT queue FROM lane_attendance WHERE unattended_since < now() - interval '59 min' ORDER BY 1"
    return [row["queue"] for row in world.rows(query)]


def test_the_time_runs_on_when_all_that_was_released_is_called_back(client: World) -> None:
    tend(client)
    run(client, AN_HOUR_AGO)
    recall(client)
    tend(client)
    assert long_unattended(client) == [ACME]
    client.release()
    tend(client)
    assert long_unattended(client) == [ACME]


def test_a_client_falls_back_in_its_time_though_its_messages_were_lost(client: World) -> None:
    client.attend(SHARED, 8)
    run(client, "UPDATE tenants SET fallback_after_seconds = 60")
    tend(client)
    run(client, AN_HOUR_AGO)
    recall(client)
    assert tend(client) == 1
    assert {chunk.queue for chunk in client.release()} == {SHARED}
    tend(client)
    assert client.rows("SELECT queue FROM lane_attendance") == []


HELD = """INSERT INTO lane_holds (tenant_id, kind, until, reason)
    SELECT id, 'verify', now() + interval '9 hours', 'daily_quota' FROM tenants"""


def test_work_under_a_hold_waits_for_a_worker_too(world: World) -> None:
    """Nothing of it is released, so nothing else tells that nobody is there."""
    give_lane(world, add_client(world, "acme"))
    world.attend(SHARED, 8)
    world.submit("acme", 100, size=10)
    run(world, "UPDATE tenants SET fallback_after_seconds = 60")
    run(world, HELD)
    assert world.release() == []
    tend(world)
    run(world, AN_HOUR_AGO)
    assert long_unattended(world) == [ACME]
    assert tend(world) == 1
    assert {chunk.queue for chunk in world.release()} == {SHARED}, "the fall-back ends the hold"


def test_a_hold_without_work_or_with_a_worker_is_nobodys_absence(world: World) -> None:
    give_lane(world, add_client(world, "acme"))
    run(world, HELD)
    tend(world)
    world.submit("acme", 100, size=10)
    world.attend(ACME, 4)
    tend(world)
    assert world.rows("SELECT queue FROM lane_attendance") == []


def test_it_ends_with_a_worker_also_while_nothing_is_released(client: World) -> None:
    tend(client)
    recall(client)
    client.attend(ACME, 4)
    tend(client)
    assert client.rows("SELECT queue FROM lane_attendance") == []


def test_it_ends_when_nothing_is_left_to_do(client: World) -> None:
    tend(client)
    recall(client)
    run(client, "UPDATE chunks SET status = 'cancelled'")
    tend(client)
    assert client.rows("SELECT queue FROM lane_attendance") == []


def test_nothing_is_noted_before_something_was_released(world: World) -> None:
    give_lane(world, add_client(world, "acme"))
    world.submit("acme", 100, size=10)
    tend(world)
    assert world.rows("SELECT queue FROM lane_attendance") == []


def test_a_lane_whose_client_was_moved_is_forgotten(client: World) -> None:
    tend(client)
    run(client, "UPDATE worker_configs SET is_active = false")
    tend(client)
    assert client.rows("SELECT queue FROM lane_attendance") == []


def test_the_shared_lane_waits_for_whom_it_serves(client: World) -> None:
    client.add_tenant("birch")
    client.submit("birch", 10)
    client.release()
    tend(client)
    run(client, AN_HOUR_AGO)
    assert long_unattended(client) == [SHARED, ACME]
    recall(client)
    tend(client)
    assert long_unattended(client) == [SHARED, ACME]
    # What is left is of a client with a lane of its own.
    run(
        client,
        "UPDATE chunks SET status = 'cancelled' WHERE tenant_id = :t",
        t=client.tenants["birch"],
    )
    tend(client)
    assert long_unattended(client) == [ACME]


def test_lists_to_be_read_wait_for_the_lane_of_all(client: World) -> None:
    tend(client)
    run(client, "UPDATE chunks SET kind = 'parse', queue = :q WHERE status = 'released'", q=INGEST)
    run(client, "UPDATE chunks SET status = 'done' WHERE status = 'ready'")
    tend(client)
    run(client, AN_HOUR_AGO)
    recall(client)
    tend(client)
    assert long_unattended(client) == [INGEST]
