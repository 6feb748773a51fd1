"""Workers that stop for longer than their lease and come back, unaware of it."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.chaos.harness import Stage
from tests.chaos.waiting import wait_for

pytestmark = pytest.mark.chaos


@pytest.mark.quick_fault
def test_frozen_past_its_lease_and_woken(stage: Stage) -> None:
    """Others have its chunks when it wakes: it writes nothing, calls nobody again, and goes on with new work."""
    sleeper, _other = stage.start_workers("sleeper", "other")
    job = stage.submit(260)
    stage.wait_recorded(job, 40)
    stage.wait_busy(sleeper, 2)
    stage.wait_unrecorded(job)
    stage.watch(stage.chunks_of(sleeper))
    with stage.faults.strike("SIGSTOP"):
        sleeper.freeze()
    stage.wait_hit_resumed(30)
    with stage.faults.wake():
        sleeper.wake()
    wait_for(lambda: "lease_lost" in sleeper.process.tail(1_000), 20, "the woken worker lets go")
    stage.wait_completed(job)
    stage.judge(job)
    assert sleeper.is_running


@pytest.mark.parametrize("nth", range(4))
def test_woken_when_all_is_done(stage: Stage, nth: int) -> None:
    """It wakes to a job that others have completed."""
    sleeper, _other = stage.start_workers("sleeper", "other")
    job = stage.submit(200)
    stage.wait_busy(sleeper, 2)
    stage.wait_unrecorded(job)
    stage.watch(stage.chunks_of(sleeper))
    with stage.faults.strike("SIGSTOP"):
        sleeper.freeze()
    stage.wait_completed(job)
    with stage.faults.wake():
        sleeper.wake()
    wait_for(lambda: "lease_lost" in sleeper.process.tail(1_000), 20, "the woken worker lets go")
    again = stage.submit(60)
    stage.wait_completed(again)
    stage.judge(job, again)
    assert sleeper.is_running


@pytest.mark.parametrize("nth", range(2))
def test_both_frozen_and_woken_together(stage: Stage, nth: int) -> None:
    """A host that was suspended: every lease has run out, and the owners race to recover them."""
    workers = stage.start_workers("one", "two")
    job = stage.submit(300)
    stage.wait_recorded(job, 40)
    stage.wait_unrecorded(job)
    with stage.faults.strike("SIGSTOP of all"):
        for worker in workers:
            worker.freeze()
    stage.wait_leases_over(job)
    with stage.faults.wake():
        for worker in workers:
            worker.wake()
    stage.wait_completed(job)
    stage.judge(job)


def test_a_dispatcher_frozen_in_mid_release_stops_the_others_for_seconds_only(stage: Stage) -> None:
    """It holds the lock that makes releases one at a time; PostgreSQL takes the session away from it."""
    stage.start_workers("one")
    with stage.world.app.connect() as frozen:
        frozen.execute(text("SELECT * FROM ledger_release(0, 4, 15)"))
        job = stage.submit(60)
        with stage.faults.strike("a dispatcher that does not commit"):
            pass
        stage.wait_completed(job, seconds=30)
        with pytest.raises(DBAPIError):
            frozen.commit()
    stage.judge(job, none_repeated=True)


def test_frozen_in_mid_record(stage: Stage) -> None:
    """It holds the lock of its chunk, which the recovery would pass over for ever."""
    (holder,) = stage.start_workers("one")
    job = stage.submit(60)
    frozen = stage.world.app.connect()
    with stage.faults.strike("a record that does not commit"):
        stage.watch([stage.lock_a_chunk(frozen, job)])
        holder.kill()
    stage.start_workers("two")
    stage.wait_completed(job, seconds=60)
    with pytest.raises(DBAPIError):
        frozen.commit()
    frozen.invalidate()
    stage.judge(job)
