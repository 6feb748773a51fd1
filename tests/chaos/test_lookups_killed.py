"""Enrichment workers that end between a vendor's answer and its record: what they knew is asked again, and only that."""

import random
from uuid import UUID

import pytest

from tests.chaos.evidence import count_repeats
from tests.chaos.harness import Stage
from tests.chaos.lookups import Lookups, Question
from tests.chaos.waiting import wait_for
from tests.chaos.workers import Worker

pytestmark = pytest.mark.chaos

#: Some are known to the first vendor, some to the second, which is asked one by one, some to nobody.
MIX = ("found", "apollo.miss-hunter.found", "apollo.miss-hunter.found", "miss")


def leads(rows: int) -> list[str]:
    return [f"{MIX[n % len(MIX)]}-{n}" for n in range(rows)]


def verdicts(rows: int) -> list[str]:
    return ["not_found" if MIX[n % len(MIX)] == "miss" else "found" for n in range(rows)]


@pytest.fixture
def lookups(stage: Stage) -> Lookups:
    return Lookups(stage)


def asked_when_quiet(lookups: Lookups) -> dict[Question, int]:
    """The vendors' record, when all that a dead process had sent has arrived."""
    seen = [-1, lookups.stage.sandbox.summary()["calls"]]

    def is_quiet() -> bool:
        seen.append(lookups.stage.sandbox.summary()["calls"])
        return len(set(seen[-3:])) == 1

    wait_for(is_quiet, 10, "no more calls arrive")
    return lookups.asked()


def not_recorded(lookups: Lookups, job: UUID) -> set[Question]:
    """Return what was asked, once all of it has arrived, and is not on record."""
    asked, kept = asked_when_quiet(lookups), lookups.recorded_questions(job)
    return {question for question in asked if question not in kept}


def freeze_between(victim: Worker, lookups: Lookups, job: UUID) -> None:
    """Stop a worker that has answers and no record of them: between a look and a blow a busy machine may write them down."""

    def is_caught() -> bool:
        lookups.wait_unrecorded(job)
        victim.freeze()
        if not_recorded(lookups, job):
            return True
        victim.wake()
        return False

    wait_for(is_caught, 60, "a worker between its answers and their record")


@pytest.mark.parametrize("seed", [pytest.param(0, marks=pytest.mark.quick_fault), *range(1, 5)])
def test_kill_9_between_the_answers_and_their_record(
    stage: Stage, lookups: Lookups, seed: int
) -> None:
    """Nobody is there when it dies. The next one repeats only what had left and was not recorded."""
    (victim,) = lookups.start("victim")
    job = lookups.submit(leads(240))
    stage.wait_recorded(job, random.Random(seed).randint(1, 120))
    freeze_between(victim, lookups, job)
    with stage.faults.strike("kill -9"):
        victim.kill()
    before, in_flight = asked_when_quiet(lookups), not_recorded(lookups, job)
    assert in_flight, "it was killed too late to prove anything"
    lookups.start("next")
    stage.wait_completed(job)
    lookups.judge(job)
    assert lookups.verdicts(job) == verdicts(240)
    after = lookups.asked()
    repeated = {question for question, n in after.items() if n > before.get(question, 0) > 0}
    assert repeated <= in_flight
    assert max(after.values()) <= 2
    print(f"in flight at the kill: {len(in_flight)}, repeated: {len(repeated)}")


def test_ten_random_kills_under_load(stage: Stage, lookups: Lookups) -> None:
    """Two workers, one of them killed after every few rows and started again."""
    chance = random.Random(10)
    workers = lookups.start("one", "two")
    jobs = [lookups.submit(leads(400)), lookups.submit(leads(400))]
    for _ in range(10):
        wanted = min(sum(map(stage.recorded, jobs)) + chance.randint(1, 60), 800)
        wait_for(lambda: sum(map(stage.recorded, jobs)) >= wanted, 60, f"{wanted} rows recorded")  # noqa: B023 - used at once
        victim = chance.choice([worker for worker in workers if stage.chunks_of(worker)] or workers)
        with stage.faults.strike("kill -9"):
            victim.kill()
        victim.start()
    stage.wait_completed(*jobs, seconds=180)
    lookups.judge(*jobs)
    for job in jobs:
        assert lookups.verdicts(job) == verdicts(400)
    repeats = count_repeats(lookups.single_questions(), stage.faults)
    assert not repeats.unexcused, repeats.unexcused
    assert repeats.extra <= repeats.allowed, repeats
    print(f"repeated: {repeats.extra}, allowed: {repeats.allowed}")
