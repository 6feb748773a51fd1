"""A cap for a client: how many of its chunks are in flight, whichever lanes they are on."""

from uuid import UUID

import pytest

from app.db.scope import tenant_scope
from app.jobs.ids import new_job_id
from app.jobs.release import Released
from app.jobs.submit import add_chunk, create_job
from tests.integration.client_world import ACME, SHARED, add_client, give_lane, run
from tests.integration.ledger_world import World


@pytest.fixture
def person(world: World) -> UUID:
    """The person of a client that may have two chunks in flight; its list waits."""
    person = add_client(world, "acme")
    run(world, "UPDATE tenants SET max_in_flight = 2")
    for queue in (SHARED, ACME):
        world.attend(queue, 32)
    world.submit("acme", 100, size=10)
    return person


def queues(released: list[Released]) -> list[str]:
    return [chunk.queue for chunk in released]


def test_what_still_runs_on_the_lane_before_counts(world: World, person: UUID) -> None:
    first, second = (world.take(chunk) for chunk in world.release())
    give_lane(world, person)
    assert world.release() == []
    assert first
    assert world.finish(first[0])
    assert queues(world.release()) == [ACME], "one ended, one may come"
    assert second
    assert world.finish(second[0])
    assert queues(world.release()) == [ACME]
    assert world.release() == []


def test_it_counts_on_the_way_back_too(world: World, person: UUID) -> None:
    give_lane(world, person)
    (first, _) = (world.take(chunk) for chunk in world.release())
    run(world, "UPDATE worker_configs SET is_active = false")
    assert world.release() == []
    assert first
    assert world.finish(first[0])
    assert queues(world.release()) == [SHARED]


def test_a_higher_cap_is_used_at_once(world: World, person: UUID) -> None:
    assert all(world.take(chunk) for chunk in world.release())
    give_lane(world, person)
    run(world, "UPDATE tenants SET max_in_flight = 5")
    assert queues(world.release()) == [ACME] * 3
    run(world, "UPDATE tenants SET max_in_flight = NULL")
    assert len(world.release()) > 0


def test_reading_a_list_is_counted_by_itself(world: World, person: UUID) -> None:
    """A cap of verification that is used up must not keep the next list from being read."""
    world.attend("enrichment-job-creation", 4)
    assert all(world.take(chunk) for chunk in world.release())
    give_lane(world, person)
    job = new_job_id()
    with tenant_scope(world.tenants["acme"], world.app) as c:
        create_job(c, kind="email_validation", title="t", params={}, priority=3, job_id=job)
        add_chunk(c, job, "parse")
    assert queues(world.release()) == ["enrichment-job-creation"]


def test_another_client_is_not_held_up(world: World, person: UUID) -> None:
    assert all(world.take(chunk) for chunk in world.release())
    give_lane(world, person)
    add_client(world, "birch")
    world.submit("birch", 20, size=10)
    assert {chunk.tenant_slug for chunk in world.release()} == {"birch"}
