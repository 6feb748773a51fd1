"""Answers that come later, between real processes: a worker that asks, a vendor that calls back, a web that takes the call."""

from pathlib import Path
from uuid import UUID

import pytest

from app.crypto import encrypt
from app.enrichment.lookup import Kind
from app.enrichment.submit import Order, Wish, create_lookup_job
from app.settings import get_settings
from tests.chaos.harness import CLIENT, Stage
from tests.chaos.waiting import wait_for
from tests.chaos.web import Web
from tests.integration.lookup_world import lead

pytestmark = [pytest.mark.chaos, pytest.mark.quick_fault]

KEY = "late-answers-key-0001"
LANE = ("-P", "threads", "-Q", "enrichment")
#: Longer than the test takes: nothing is recorded before the chunk ends or another worker has it.
NEVER = "60"


class Lookups:
    """Leads on a stage, with a web that vendors can reach."""

    def __init__(self, stage: Stage, web: Web) -> None:
        self.stage = stage
        url = stage.sandbox.url
        self.env = {
            "PUBLIC_URL": web.url,
            "APOLLO_BASE_URL": url,
            "HUNTER_BASE_URL": url,
            "ENRICHMENT_LATE_SECONDS": "120",
        }
        stage.sandbox.put_keys({"key": KEY})
        for provider in ("apollo", "hunter"):
            self._give_key(provider)

    def _give_key(self, provider: str) -> None:
        self.stage.world.rows(
            """INSERT INTO api_keys (tenant_id, provider, fingerprint, secret_encrypted, hint, spacing_ms)
               VALUES (:t, :p, :p, :s, '0001', 1) RETURNING 1""",
            t=self.stage.world.tenants[CLIENT],
            p=provider,
            s=encrypt(KEY),
        )

    def submit(self, *words: str) -> UUID:
        leads = [lead(word, str(n)) for n, word in enumerate(words, 1)]
        with self.stage.world.scope(CLIENT) as c:
            return create_lookup_job(
                c,
                "batch_lead_enrichment",
                leads,
                Wish([Kind.EMAIL]),
                Order(),
                settings=get_settings(),
                created_by=None,
            )

    def events(self) -> list[str]:
        rows = self.stage.world.rows("SELECT state FROM lookup_events ORDER BY id")
        return [str(row["state"]) for row in rows]

    def said(self, job: UUID, provider: str, item_no: int = 1) -> list[str]:
        """What a provider's attempts about a row came to, in order."""
        rows = self.stage.world.rows(
            """SELECT outcome FROM lookup_attempts WHERE job_id = :j AND provider = :p AND item_no = :i ORDER BY id""",
            j=job,
            p=provider,
            i=item_no,
        )
        return [str(row["outcome"]) for row in rows]

    def verdicts(self, job: UUID) -> list[str]:
        rows = self.stage.world.rows(
            "SELECT verdict FROM job_results WHERE job_id = :j ORDER BY item_no", j=job
        )
        return [str(row["verdict"]) for row in rows]


@pytest.fixture
def lookups(stage: Stage, tmp_path: Path) -> Lookups:
    web = Web(stage.installation.environment(), tmp_path / "web.log")
    stage.keep(web.process)
    web.start()
    return Lookups(stage, web)


def test_an_answer_by_a_later_call_completes_the_job(stage: Stage, lookups: Lookups) -> None:
    stage.start_workers("asks", lane=LANE, env=lookups.env)
    job = lookups.submit("later", "found", "miss")
    stage.wait_completed(job, seconds=30)
    assert lookups.verdicts(job) == ["found", "found", "not_found"]
    assert lookups.said(job, "apollo") == ["pending", "found"]
    assert lookups.events() == ["matched"]
    # One call to Apollo for all three, one to Hunter for whom Apollo does not know.
    assert stage.sandbox.summary()["calls"] == 2


def test_kill_9_between_the_promise_and_its_record(stage: Stage, lookups: Lookups) -> None:
    """The vendor's call is kept although nobody waits for it; the next worker asks again, once."""
    victim = stage.start_worker("victim", lane=LANE, env={**lookups.env, "FLUSH_SECONDS": NEVER})
    stage.wait_until_serving(victim)
    job = lookups.submit("later", "apollo.miss-hunter.slow8000")
    wait_for(lambda: lookups.events() == ["unknown"], 40, "the vendor has called")
    assert lookups.said(job, "apollo") == []
    with stage.faults.strike("kill -9"):
        victim.kill()
    stage.start_workers("next", lane=LANE, env=lookups.env)
    stage.wait_completed(job, seconds=60)
    assert lookups.verdicts(job) == ["found", "found"]
    assert lookups.said(job, "apollo") == ["pending", "found"]
    assert lookups.events() == ["unknown", "matched"]
    calls = [call["provider"] for call in stage.sandbox.calls()]
    assert calls.count("apollo") == 2
