"""PostgreSQL crashed, restarted, away for longer than a lease: paid answers are kept until it is back."""

import pytest

from tests.chaos.harness import Stage
from tests.chaos.waiting import last

pytestmark = pytest.mark.chaos


@pytest.mark.quick_fault
def test_crashed_and_restarted_in_mid_run(stage: Stage) -> None:
    """kill -9 of the whole server; it recovers from its log."""
    stage.start_workers("one", "two")
    job = stage.submit(260)
    stage.wait_recorded(job, 40)
    stage.wait_unrecorded(job)
    with stage.faults.strike("kill -9 of PostgreSQL"):
        stage.installation.postgres.kill()
        stage.installation.postgres.resume()
    stage.wait_completed(job)
    stage.judge(job)


def test_restarted_in_order_five_times(stage: Stage) -> None:
    """What an upgrade does."""
    stage.start_workers("one", "two")
    job = stage.submit(500)
    for nth in range(5):
        stage.wait_recorded(job, 60 * nth + 30)
        with stage.faults.strike("restart of PostgreSQL"):
            stage.installation.postgres.restart()
    stage.wait_completed(job)
    stage.judge(job)


@pytest.mark.parametrize("seconds", [2, 10, 60])
def test_down_for_a_while(stage: Stage, seconds: float) -> None:
    """Also for much longer than the lease of four seconds."""
    workers = stage.start_workers("one", "two")
    job = stage.submit(300)
    stage.wait_recorded(job, 40)
    stage.wait_unrecorded(job)
    with stage.faults.strike("PostgreSQL down"):
        stage.installation.postgres.kill()
        last(seconds)
        stage.installation.postgres.resume()
    stage.wait_completed(job)
    stage.judge(job)
    assert all(worker.is_running for worker in workers)
