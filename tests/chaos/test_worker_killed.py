"""Workers that end without a word, and what they held."""

import random
from uuid import UUID

import pytest

from tests.chaos.harness import Stage
from tests.chaos.waiting import wait_for
from tests.chaos.workers import Worker

pytestmark = pytest.mark.chaos


@pytest.mark.quick_fault
def test_kill_9_in_mid_chunk(stage: Stage) -> None:
    """What a killed worker held is taken up by the other one."""
    victim, _other = stage.start_workers("victim", "other")
    job = stage.submit(240)
    stage.wait_recorded(job, 40)
    stage.wait_busy(victim, 2)
    stage.wait_unrecorded(job)
    stage.watch(stage.chunks_of(victim))
    with stage.faults.strike("kill -9"):
        victim.kill()
    stage.wait_completed(job)
    stage.judge(job)


@pytest.mark.parametrize("seed", range(5))
def test_kill_9_of_the_only_worker(stage: Stage, seed: int) -> None:
    """Nobody is there when the worker dies; the next one to start finds all of it."""
    (victim,) = stage.start_workers("victim")
    job = stage.submit(200)
    stage.wait_recorded(job, random.Random(seed).randint(1, 120))
    stage.wait_unrecorded(job)
    stage.watch(stage.wait_busy(victim))
    with stage.faults.strike("kill -9"):
        victim.kill()
    stage.start_workers("next")
    stage.wait_completed(job)
    stage.judge(job)


def test_twenty_five_random_kills_under_load(stage: Stage) -> None:
    """Three workers, one of them killed after every few rows and started again; many chunks a worker."""
    chance = random.Random(25)
    workers = stage.start_workers("one", "two", "three")
    jobs = [stage.submit(700), stage.submit(700), stage.submit(300)]
    for _ in range(25):
        seen = sum(map(stage.recorded, jobs))
        wanted = min(seen + chance.randint(1, 60), 1_700)
        wait_for(lambda: sum(map(stage.recorded, jobs)) >= wanted, 60, f"{wanted} rows recorded")  # noqa: B023 - used at once
        victim = chance.choice([worker for worker in workers if stage.chunks_of(worker)] or workers)
        with stage.faults.strike("kill -9"):
            victim.kill()
        victim.start()
    stage.wait_completed(*jobs, seconds=180)
    stage.judge(*jobs)


def freeze_with_message(stage: Stage, worker: Worker) -> tuple[list[UUID], UUID]:
    """Freeze a worker so that Redis hands a message to it; return the jobs before, and the one whose message it has.

    It asks for a second at a time, so now and then the second is over before the message comes, and it goes on.
    """
    before: list[UUID] = []
    while len(before) < 10:
        stage.wait_asking()
        worker.freeze()
        job = stage.submit(60)
        stage.dispatch()
        if stage.messages() < 3:
            return before, job
        worker.wake()
        stage.wait_completed(job)
        before.append(job)
    raise AssertionError("Redis never handed a message to the frozen worker")


@pytest.mark.parametrize("nth", range(3))
def test_frozen_while_asking_for_work_then_killed(stage: Stage, nth: int) -> None:
    """Redis hands the message to a worker that will never read it: Celery's own way to lose one."""
    (sleeper,) = stage.start_workers("sleeper")
    before, job = freeze_with_message(stage, sleeper)
    stage.watch([chunk["id"] for chunk in stage.chunks(job, "released")])
    with stage.faults.strike("kill -9 in BRPOP"):
        sleeper.kill()
    stage.start_workers("next")
    stage.wait_completed(job)
    stage.judge(*before, job, none_repeated=True)
