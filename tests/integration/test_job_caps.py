"""A cap a job: one long list of a client leaves room for its others, and other clients don't notice."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.jobs.release import Released
from tests.integration.client_world import ACME, SHARED, add_client, give_lane, run
from tests.integration.ledger_world import World

IN_FLIGHT = (
    "SELECT count(*) AS n FROM chunks WHERE job_id = :j AND status IN ('released', 'running')"
)


@pytest.fixture
def client(world: World) -> World:
    """A client whose jobs may have 3 chunks in flight, itself any number, on a lane of 32 slots."""
    add_client(world, "acme")
    run(world, "UPDATE tenants SET max_in_flight_per_job = 3, max_in_flight = 1000")
    world.attend(SHARED, 32)
    return world


def in_flight(world: World, job: UUID) -> object:
    return world.rows(IN_FLIGHT, j=job)[0]["n"]


def jobs_of(released: list[Released]) -> Counter[UUID]:
    return Counter(chunk.job_id for chunk in released)


def finish(world: World, message: Released) -> None:
    taken = world.take(message)
    assert taken
    assert world.finish(taken[0])


def test_a_thousand_chunks_of_one_job_never_exceed_the_cap_and_all_get_done(client: World) -> None:
    job = client.submit("acme", 1000, size=1)
    waiting = client.release()
    done = 0
    while waiting:
        assert in_flight(client, job) == len(waiting) <= 3
        finish(client, waiting.pop(0))
        done += 1
        waiting += client.release()
    assert done == 1000
    assert client.job(job)["status"] == "completed"


def test_others_of_the_client_go_on_beside_it(client: World) -> None:
    long = client.submit("acme", 1000, size=1)
    assert jobs_of(client.release()) == {long: 3}
    short = client.submit("acme", 2, size=1)
    urgent = client.submit("acme", 10, size=1, priority=1)
    released = client.release()
    assert jobs_of(released) == {urgent: 3, short: 2}
    assert released[0].job_id == urgent


def test_an_earlier_job_of_the_same_priority_is_first(client: World) -> None:
    run(client, "UPDATE tenants SET max_in_flight = 5")
    first, second = (client.submit("acme", 10, size=1) for _ in range(2))
    assert jobs_of(client.release()) == {first: 3, second: 2}


def test_what_runs_counts_and_what_is_put_back_does_not(client: World) -> None:
    job = client.submit("acme", 10, size=1)
    taken = client.take(client.release()[0])
    assert taken
    assert client.release() == []
    assert client.put_back(taken[0])
    assert in_flight(client, job) == 2
    assert len(client.release()) == 1


def test_deferred_chunks_are_stepped_over(client: World) -> None:
    job = client.submit("acme", 10, size=1)
    run(
        client,
        """UPDATE chunks SET run_at = :at WHERE id IN (
               SELECT id FROM chunks WHERE job_id = :j ORDER BY id LIMIT 8)""",
        at=datetime.now(UTC) + timedelta(hours=1),
        j=job,
    )
    assert len(client.release()) == 2


def test_a_client_without_a_cap_keeps_its_whole_part(client: World) -> None:
    add_client(client, "birch")
    run(client, "UPDATE tenants SET max_in_flight = 1000")
    capped, free = client.submit("acme", 100, size=1), client.submit("birch", 100, size=1)
    assert jobs_of(client.release()) == {capped: 3, free: 61}


def test_it_holds_on_a_lane_of_ones_own_and_after_a_change_of_lane(client: World) -> None:
    person = client.add_user("acme", "second@example.com")
    client.attend(ACME, 32)
    job = client.submit("acme", 100, size=1)
    assert client.take(client.release()[0])
    give_lane(client, person)
    again = client.release()
    assert {chunk.queue for chunk in again} == {ACME}
    assert (len(again), in_flight(client, job)) == (2, 3), "what runs elsewhere still counts"


def test_three_dispatchers_at_once_keep_it(client: World) -> None:
    jobs = [client.submit("acme", 100, size=1) for _ in range(4)]
    with ThreadPoolExecutor(3) as pool:
        batches = list(pool.map(lambda _: client.release_all(limit=2), range(12)))
    assert sum(map(len, batches)) == 12
    assert [in_flight(client, job) for job in jobs] == [3, 3, 3, 3]


@pytest.mark.parametrize("status", ["scheduled", "pending", "processing", "retrying", "waiting"])
def test_jobs_in_any_open_state_are_served(client: World, status: str) -> None:
    job = client.submit("acme", 10, size=1)
    run(client, "UPDATE jobs SET status = :s", s=status)
    assert jobs_of(client.release()) == {job: 3}


def test_what_came_back_with_its_old_priority_stands_before_nobody(world: World) -> None:
    """A list is made urgent while it runs: its chunks that come back are as unimportant as before, their job is not."""
    add_client(world, "acme")
    run(world, "UPDATE tenants SET max_in_flight_per_job = 2")
    world.attend(SHARED, 4)
    world.submit("acme", 2, size=1, priority=5)
    taken = [world.take(chunk) for chunk in world.release()]
    run(world, "UPDATE jobs SET priority = 1")
    assert len(taken) == 2
    assert taken[0]
    assert world.put_back(taken[0][0])
    usual = world.submit("acme", 4, size=1, priority=3)
    # Of the client's two places, what runs at priority 5 leaves both to priority 3.
    assert jobs_of(world.release()) == {usual: 2}
