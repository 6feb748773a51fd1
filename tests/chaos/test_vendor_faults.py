"""Vendors of look-ups that hang, fail in bursts, send garbage or ten megabytes, or end in mid-body, under real workers.

The chain goes round them, each row says who failed and who was skipped, and nobody else's work waits for it.
"""

from pathlib import Path
from uuid import UUID

import pytest

from sandbox.vendor import HUGE_BYTES
from tests.chaos.harness import CLIENT, Stage
from tests.chaos.lookups import Lookups
from tests.chaos.waiting import wait_for
from tests.chaos.workers import Worker

pytestmark = pytest.mark.chaos

ROWS = 200
TROUBLES = ("error500", "garbage", "truncated", "huge", "close")
#: Longer than all others' work takes: whoever waited for a call that hangs would be seen to.
HANGS_SECONDS = "110"


@pytest.fixture
def lookups(stage: Stage) -> Lookups:
    return Lookups(stage)


def leads(rows: int, word: str) -> list[str]:
    return [f"{word}-{n}" for n in range(rows)]


def bodies_sent(stage: Stage, word: str) -> int:
    return sum(call["code"] == word for call in stage.sandbox.calls())


class Memory:
    """The most that a worker has held at once, in bytes, since it was last forgotten (Linux)."""

    def __init__(self, worker: Worker) -> None:
        self._folder = Path("/proc") / str(worker.pid)

    def forget(self) -> None:
        (self._folder / "clear_refs").write_text("5")

    def most(self) -> int:
        status = (self._folder / "status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024


def goes_round_apollo(lookups: Lookups, job: UUID) -> None:
    """Check that a job's leads have Hunter's answers, and say of Apollo that it failed or was left alone."""
    assert set(lookups.verdicts(job)) == {"found"}
    assert lookups.told_of(job, "hunter") == {"found": ROWS}
    told = lookups.told_of(job, "apollo")
    assert told.keys() == {"failed", "skipped"}, told
    # Who failed again and again is left alone; so most of the leads have not waited for it.
    assert told["skipped"] > told["failed"]


def test_each_trouble_beside_the_others(stage: Stage, lookups: Lookups) -> None:
    """Six clients whose first vendor fails, each in its way, and one without trouble, on one worker."""
    for slug in (*TROUBLES, "healthy"):
        lookups.add_client(slug)
    lookups.start("one", PROVIDER_TIMEOUT_SECONDS=HANGS_SECONDS)
    hanging = lookups.submit(leads(ROWS, "apollo.timeout-hunter.found"))
    wait_for(lambda: bodies_sent(stage, "timeout"), 20, "a call hangs")
    jobs = {
        word: lookups.submit(leads(ROWS, f"apollo.{word}-hunter.found"), client=word)
        for word in TROUBLES
    }
    healthy = lookups.submit(leads(ROWS, "found"), client="healthy")
    stage.wait_completed(healthy, *jobs.values(), seconds=100)
    # Nothing was said about a call that hangs so far: all the others were done while it hung.
    assert lookups.said(hanging, "apollo") == []
    assert stage.recorded(hanging) == 0
    lookups.judge(healthy, *jobs.values())
    for job in jobs.values():
        goes_round_apollo(lookups, job)


def test_calls_that_hang_are_given_up(stage: Stage, lookups: Lookups) -> None:
    """The list goes on along its chain when the first of them are."""
    lookups.start("one", PROVIDER_TIMEOUT_SECONDS="2")
    job = lookups.submit(leads(ROWS, "apollo.timeout-hunter.found"))
    stage.wait_completed(job)
    lookups.judge(job)
    goes_round_apollo(lookups, job)


def test_no_vendor_answers(stage: Stage, lookups: Lookups) -> None:
    """Where the last of the chain fails too, the rows say so, and are tried again when they are told to."""
    lookups.start("one", HEALTH_OPEN_SECONDS="1")
    job = lookups.submit(leads(6, "apollo.garbage-hunter.close"), max_retries=0)
    with stage.explained(job):
        wait_for(lambda: stage.world.job(job)["status"] == "dead_letter", 90, "the job is dead")
    rows = lookups.results(job)
    assert {(row["verdict"], row["code"], row["is_failure"]) for row in rows} == {
        ("unknown", "provider_unavailable", True)
    }
    assert len(rows) == stage.world.job(job)["failed_items"] == 6


def test_bursts_of_errors(stage: Stage, lookups: Lookups) -> None:
    """Both vendors answer 500 to everything, five times, each time until six calls have met it."""
    lookups.start("one", "two", HEALTH_OPEN_SECONDS="1", RETRY_MAX_DELAY="2000")
    job = lookups.submit(leads(400, "found"), max_retries=20)
    for nth in range(1, 6):
        stage.wait_recorded(job, 40 * nth)
        with stage.faults.strike("500"):
            stage.sandbox.set_mode(error_rate=1)
            before = bodies_sent(stage, "error500")
            wait_for(
                lambda: bodies_sent(stage, "error500") >= before + 6,  # noqa: B023 - used at once
                90,
                "six errors",
            )
            stage.sandbox.set_mode(latency_ms=(50, 150))
    stage.wait_completed(job)
    lookups.judge(job)
    assert set(lookups.verdicts(job)) == {"found"}
    # What was answered was never asked again.
    assert max(lookups.asked().values()) == 1


def test_ten_megabytes_are_not_kept(stage: Stage, lookups: Lookups) -> None:
    """Each of eight keys meets such an answer five times and more before it rests; no body is held in whole."""
    for _ in range(7):
        lookups.give_key(CLIENT, ["apollo"])
    (worker,) = lookups.start("one")
    memory = Memory(worker)
    stage.wait_completed(lookups.submit(leads(ROWS, "found")))
    memory.forget()
    before = memory.most()
    job = lookups.submit(leads(ROWS, "apollo.huge-hunter.found"))
    stage.wait_completed(job)
    lookups.judge(job)
    assert set(lookups.verdicts(job)) == {"found"}
    sent, grown = bodies_sent(stage, "huge"), memory.most() - before
    print(f"{sent} bodies, most memory before: {before >> 20} MB, grown by {grown / 2**20:.1f} MB")
    assert sent >= 5 * 8
    # Those under way at once, eight at least, would come to more if each were read to its end.
    assert grown < sent * HUGE_BYTES / 10
