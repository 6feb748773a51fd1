"""A dedicated worker that stops, and comes back after its client's work has moved on."""

import pytest

from routing import queues
from tests.chaos.harness import Stage
from tests.chaos.lanes import ClientLane
from tests.chaos.waiting import wait_for

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("suffix", ["", "b"])
def test_woken_after_a_reroute_and_past_its_lease(stage: Stage, suffix: str) -> None:
    """The next lane, shared or own, has its chunks when it wakes: it writes nothing and lets go."""
    lane = ClientLane(stage)
    lane.move(lane.name("a"))
    workers = lane.start_with_shared("a", *([suffix] if suffix else []))
    sleeper = workers[lane.queue]
    job = stage.submit(300)
    stage.wait_recorded(job, 20)
    lane.wait_running(job, 2)
    stage.wait_unrecorded(job)
    stage.watch(lane.running())
    with stage.faults.strike("SIGSTOP and re-route"):
        sleeper.freeze()
        lane.move(lane.name(suffix) if suffix else queues.VERIFICATION)
    stage.wait_hit_resumed(40)
    with stage.faults.wake():
        sleeper.wake()
    wait_for(lambda: "lease_lost" in sleeper.process.tail(1_000), 20, "the woken worker lets go")
    stage.wait_completed(job)
    lane.judge(job)
    assert sleeper.is_running


def test_woken_within_its_lease_it_ends_what_it_holds(stage: Stage) -> None:
    """A re-route takes nothing from a worker whose lease is in force, however slow it is."""
    lane = ClientLane(stage)
    lane.move(lane.name("a"))
    sleeper = lane.start_with_shared("a")[lane.queue]
    job = stage.submit(240)
    held = lane.wait_running(job, 2)
    with stage.faults.strike("SIGSTOP and re-route"):
        sleeper.freeze()
        lane.move(queues.VERIFICATION)
    lane.wait_running(job)
    with stage.faults.wake():
        sleeper.wake()
    stage.wait_completed(job)
    lane.judge(job)
    fences = stage.world.rows("SELECT DISTINCT fence FROM chunks WHERE id = ANY (:c)", c=held)
    assert [row["fence"] for row in fences] == [0]
