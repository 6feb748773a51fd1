"""A client's lane changed by SQL while its work runs: to a lane of its own, to another, back; with workers killed."""

import random

import pytest

from app.db.scope import system_scope
from app.jobs.release import release
from routing import queues
from tests.chaos.harness import Stage
from tests.chaos.lanes import ClientLane

pytestmark = pytest.mark.chaos


@pytest.mark.quick_fault
def test_row_removed_while_chunks_run(stage: Stage) -> None:
    """What runs ends where it runs, on its first lease; the rest goes to the shared lane."""
    lane = ClientLane(stage)
    lane.move(lane.name("a"))
    lane.start_with_shared("a")
    job = stage.submit(240)
    held = lane.wait_running(job, 2)
    with stage.faults.strike("DELETE FROM worker_configs"):
        lane.remove()
    lane.wait_running(job)
    stage.wait_completed(job)
    lane.judge(job, none_repeated=True)
    fences = stage.world.rows("SELECT DISTINCT fence FROM chunks WHERE id = ANY (:c)", c=held)
    assert [row["fence"] for row in fences] == [0]


def test_there_and_back_with_a_kill_each_time(stage: Stage) -> None:
    """Shared, own, another of its own, shared; the worker that is left is killed with what it holds."""
    lane = ClientLane(stage)
    stage.add_client("birch")
    workers = lane.start_with_shared("a", "b")
    job, other = stage.submit(1_000), stage.submit(400, client="birch")
    for queue in (lane.name("a"), lane.name("b"), queues.VERIFICATION):
        # Rows of each stay, so that no chunk is suspected of having killed two workers.
        stage.wait_recorded(job, stage.recorded(job) + 100)
        held = lane.wait_running(job, 2)
        stage.wait_unrecorded(job, other)
        victim = workers[lane.queue]
        stage.watch(held)
        with stage.faults.strike(f"kill -9 and re-route to {queue}"):
            victim.kill()
            lane.move(queue)
        lane.wait_running(job)
        victim.start()
    stage.wait_completed(job, other)
    lane.judge(job, other)


@pytest.mark.parametrize("seed", range(2))
def test_twelve_random_moves_and_kills(stage: Stage, seed: int) -> None:
    """Any lane after any other, under load, every second time with a kill of any of the three workers."""
    chance = random.Random(seed)
    lane = ClientLane(stage)
    workers = lane.start_with_shared("a", "b")
    job = stage.submit(900)
    for nth in range(12):
        stage.wait_recorded(job, min(stage.recorded(job) + chance.randint(1, 60), 880), 60)
        lane.move(chance.choice([queue for queue in workers if queue != lane.queue]))
        if nth % 2:
            victim = chance.choice(list(workers.values()))
            with stage.faults.strike("kill -9"):
                victim.kill()
            victim.start()
    stage.wait_completed(job, seconds=120)
    lane.judge(job)


def test_lane_without_a_worker_and_back(stage: Stage) -> None:
    """Work that is sent to a lane nobody serves waits there, and leaves no message behind when it is called back."""
    lane = ClientLane(stage)
    lane.start_with_shared()
    job = stage.submit(200)
    lane.wait_running(job)
    with stage.faults.strike("re-route to nobody"):
        lane.move(lane.name("nobody"))
    lane.wait_messages(job)
    with stage.faults.strike("re-route back"):
        lane.move(queues.VERIFICATION)
    stage.wait_completed(job)
    lane.judge(job, none_repeated=True)


def test_lane_changed_while_a_release_is_under_way(stage: Stage) -> None:
    """The release has read the lane of before and commits after the change: what it gave to nobody is called back."""
    lane = ClientLane(stage)
    lane.move(lane.name("nobody"))
    job = stage.submit(60)
    with system_scope(stage.world.app) as slow:
        released = release(slow, limit=256, unattended_window=4, presence_seconds=15)
        with stage.faults.strike("re-route"):
            lane.move(queues.VERIFICATION)
    stage.publish(released)
    assert [chunk["queue"] for chunk in stage.chunks(job, "released")] == [lane.name("nobody")] * 3
    stage.start_workers("shared")
    stage.wait_completed(job)
    lane.judge(job, none_repeated=True)


def test_lane_changed_while_a_worker_takes_a_chunk(stage: Stage) -> None:
    """The worker is frozen before its commit: the change does not wait for it, and the chunk follows later."""
    lane = ClientLane(stage)
    lane.move(lane.name("nobody"))
    job = stage.submit(60)
    stage.dispatch()
    with stage.world.app.begin() as frozen:
        taken = stage.lock_a_chunk(frozen, job, "released")
        with stage.faults.strike("re-route"):
            lane.move(queues.VERIFICATION)
        frozen.rollback()
    assert [chunk["id"] for chunk in stage.chunks(job, "released")] == [taken]
    stage.start_workers("shared")
    stage.wait_completed(job)
    lane.judge(job, none_repeated=True)
