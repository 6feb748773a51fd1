"""SIGTERM under load, as a deployment sends it: finished or handed back within thirty seconds."""

import time

import pytest

from tests.chaos.harness import Stage

pytestmark = pytest.mark.chaos


@pytest.mark.quick_fault
def test_sigterm_under_load(stage: Stage) -> None:
    """The worker ends in time, nothing is repeated, no attempt is counted, the other one goes on."""
    leaver, _other = stage.start_workers("leaver", "other")
    job = stage.submit(260)
    stage.wait_recorded(job, 40)
    stage.watch(stage.wait_busy(leaver, 2))
    asked = time.monotonic()
    with stage.faults.strike("SIGTERM"):
        leaver.ask_to_stop()
        assert leaver.process.wait(30) == 0
    assert time.monotonic() - asked < 30
    counted = stage.world.rows("SELECT id FROM chunks WHERE attempts > 1")
    assert not counted
    stage.wait_completed(job)
    stage.judge(job, none_repeated=True)


def test_sigterm_while_the_provider_hangs(stage: Stage) -> None:
    """Calls that nobody answers are given up in time; they are all that may be repeated."""
    leaver, _other = stage.start_workers("leaver", "other", env={"SHUTDOWN_GRACE_SECONDS": "5"})
    job = stage.submit(100, special=[f"slow8000-{n}@example.com" for n in range(20)])
    stage.wait_recorded(job, 20)
    stage.watch(stage.wait_busy(leaver))
    with stage.faults.strike("SIGTERM"):
        leaver.ask_to_stop()
        assert leaver.process.wait(30) == 0
    stage.wait_completed(job)
    stage.judge(job)


def test_rolling_restart_under_load(stage: Stage) -> None:
    """One worker after the other is replaced, three times round."""
    workers = stage.start_workers("one", "two")
    job = stage.submit(900)
    for nth in range(6):
        stage.wait_recorded(job, 60 * nth + 30)
        worker = workers[nth % 2]
        with stage.faults.strike("SIGTERM"):
            worker.ask_to_stop()
            assert worker.process.wait(30) == 0
        worker.start()
        stage.wait_until_serving(worker)
    stage.wait_completed(job)
    stage.judge(job, none_repeated=True)


def test_sigterm_while_redis_is_down(stage: Stage) -> None:
    """Handing back needs PostgreSQL alone."""
    (leaver,) = stage.start_workers("leaver")
    job = stage.submit(200)
    stage.wait_recorded(job, 20)
    with stage.faults.strike("SIGTERM without Redis"):
        stage.installation.redis.kill()
        leaver.ask_to_stop()
        leaver.process.wait(30)
    assert not stage.chunks(job, "running")
    stage.installation.redis.resume()
    stage.start_workers("next")
    stage.wait_completed(job)
    stage.judge(job, none_repeated=True)


def test_sigterm_while_postgres_is_down(stage: Stage) -> None:
    """Nothing can be handed back: it ends in time all the same, and its leases run out."""
    leaver, _other = stage.start_workers("leaver", "other", env={"SHUTDOWN_GRACE_SECONDS": "5"})
    job = stage.submit(200)
    stage.wait_recorded(job, 20)
    stage.wait_unrecorded(job)
    with stage.faults.strike("SIGTERM without PostgreSQL"):
        stage.installation.postgres.kill()
        leaver.ask_to_stop()
        leaver.process.wait(30)
        stage.installation.postgres.resume()
    stage.wait_completed(job)
    stage.judge(job)
