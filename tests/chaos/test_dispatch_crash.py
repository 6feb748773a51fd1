"""A crash between the commit of a release and the messages that should follow it."""

import pytest

from tests.chaos.harness import Stage

pytestmark = pytest.mark.chaos
CRASHING = "tests.chaos.crashing_dispatcher"
CRASHED = 9


@pytest.mark.quick_fault
def test_crash_between_commit_and_publish(stage: Stage) -> None:
    """Released chunks without a message are seen missing in Redis and released again."""
    job = stage.submit(120)
    with stage.faults.strike("crash after commit"):
        code = stage.run_module(CRASHING)
    assert code == CRASHED
    released = stage.chunks(job, "released")
    assert released
    assert stage.messages() == 0
    stage.watch([chunk["id"] for chunk in released])
    stage.start_workers("one")
    stage.wait_completed(job)
    stage.judge(job, none_repeated=True)


@pytest.mark.parametrize("nth", range(3))
def test_crash_beside_a_long_backlog(stage: Stage, nth: int) -> None:
    """Lost wake-ups are found although the lane's queue is never empty."""
    job = stage.submit(100)
    stage.run_module(CRASHING)
    lost = [chunk["id"] for chunk in stage.chunks(job, "released")]
    assert lost
    stage.watch(lost)
    flood = stage.submit(1_000)
    stage.start_workers("one")
    with stage.faults.strike("crash after commit"):
        pass
    stage.wait_hit_resumed(30)
    assert stage.world.job(flood)["status"] != "completed", "the backlog must outlast the recovery"
    stage.wait_completed(job, flood)
    stage.judge(job, flood, none_repeated=True)
