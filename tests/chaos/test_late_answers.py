"""Answers that come later, between real processes: a worker that asks, a vendor that calls back, a web that takes the call."""

from pathlib import Path

import pytest

from tests.chaos.harness import Stage
from tests.chaos.lookups import Lookups
from tests.chaos.waiting import wait_for
from tests.chaos.web import Web

pytestmark = [pytest.mark.chaos, pytest.mark.quick_fault]

#: Longer than the test takes: nothing is recorded before the chunk ends or another worker has it.
NEVER = "60"


@pytest.fixture
def lookups(stage: Stage, tmp_path: Path) -> Lookups:
    web = Web(stage.installation.environment(), tmp_path / "web.log")
    stage.keep(web.process)
    web.start()
    return Lookups(stage, PUBLIC_URL=web.url, ENRICHMENT_LATE_SECONDS="120")


def test_an_answer_by_a_later_call_completes_the_job(stage: Stage, lookups: Lookups) -> None:
    lookups.start("asks")
    job = lookups.submit(["later", "found", "miss"])
    stage.wait_completed(job, seconds=30)
    assert lookups.verdicts(job) == ["found", "found", "not_found"]
    assert lookups.said(job, "apollo") == ["pending", "found"]
    assert lookups.events() == ["matched"]
    # One call to Apollo for all three, one to Hunter for whom Apollo does not know.
    assert stage.sandbox.summary()["calls"] == 2


def test_kill_9_between_the_promise_and_its_record(stage: Stage, lookups: Lookups) -> None:
    """The vendor's call is kept although nobody waits for it; the next worker asks again, once."""
    (victim,) = lookups.start("victim", FLUSH_SECONDS=NEVER)
    job = lookups.submit(["later", "apollo.miss-hunter.slow8000"])
    wait_for(lambda: lookups.events() == ["unknown"], 40, "the vendor has called")
    assert lookups.said(job, "apollo") == []
    with stage.faults.strike("kill -9"):
        victim.kill()
    lookups.start("next")
    stage.wait_completed(job, seconds=60)
    assert lookups.verdicts(job) == ["found", "found"]
    assert lookups.said(job, "apollo") == ["pending", "found"]
    assert lookups.events() == ["unknown", "matched"]
    calls = [call["provider"] for call in stage.sandbox.calls()]
    assert calls.count("apollo") == 2
