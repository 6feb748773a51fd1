"""What a chunk of leads asks, and what it need not ask: answers out of date, finds, keys that are free soon."""

from dataclasses import replace
from datetime import UTC, datetime

from app.enrichment.memory import Question, read_kept
from app.enrichment.notes import Attempt
from app.enrichment.record import record_with_attempts
from app.enrichment.submit import normal_lead
from app.enrichment.waits import Over
from app.jobs.records import Recorded
from tests.factories import owner_sql
from tests.integration.ledger_world import answer
from tests.integration.lookup_world import Lookups, lead


def test_an_answer_that_is_out_of_date_is_asked_for_again(lookups: Lookups) -> None:
    lookups.submit(lead("found", "a"))
    lookups.run()
    owner_sql("UPDATE lookup_cache SET expires_at = now() - interval '1 s'")
    (row,) = lookups.world.rows("SELECT tenant_id, provider, identity FROM lookup_cache")
    question = Question(str(lookups.world.tenants["acme"]), "apollo", str(row["identity"]))
    with lookups.world.scope("acme") as c:
        assert read_kept(c, lookups.world.tenants["acme"], [question]) == {}
    other = Lookups(lookups.world, lookups.sandbox, lookups.redis_url)
    job = other.submit(lead("found", "b"))
    other.run()
    assert other.attempts(job) == [("b", "apollo", "found", False)]


def test_a_lead_whose_email_was_found_is_not_looked_up_by_the_next_lease(lookups: Lookups) -> None:
    leads = (lead("found", "hit"), lead("apollo.miss-hunter.flaky1", "later"))
    job = lookups.submit(*leads, verifies=True)
    assert lookups.run(retry_base_delay=60_000) == ["retry"]
    # Neither the process nor the table of answers remembers anything, nor do the attempts.
    owner_sql("DELETE FROM lookup_cache")
    owner_sql("DELETE FROM lookup_attempts")
    owner_sql("""UPDATE chunks SET run_at = now(), retries = '{"2": [1, 0, "an error"]}'""")
    Lookups(lookups.world, lookups.sandbox, lookups.redis_url).run()
    assert {ref for ref, _, _, _ in lookups.attempts(job)} == {"later"}


def test_a_short_throttle_is_waited_for_and_nobody_else_asked(lookups: Lookups) -> None:
    lookups.keys["apollo"] = {"spacing_ms": 0, "windows": ((1, 30_000),)}
    job = lookups.submit(*(lead(f"found-{n}", str(n)) for n in range(12)))
    assert lookups.run(chunk_concurrency=1) == ["waiting"]
    assert {who for _, who, _, _ in lookups.attempts(job)} == {"apollo"}
    (chunk,) = lookups.world.rows("SELECT waits_for, run_at > now() AS later FROM chunks")
    assert chunk == {"waits_for": "window", "later": True}
    assert len(lookups.results(job)) == 10


def test_too_fast_spends_no_attempt(lookups: Lookups) -> None:
    job = lookups.submit(lead("throttled2", "x"), chain=("apollo",), max_retries=0)
    for _ in range(6):
        if lookups.world.job(job)["status"] == "completed":
            break
        lookups.world.make_due()
        lookups.run()
    assert lookups.results(job)["x"]["verdict"] == "found"


def test_a_lost_lease_writes_nothing_of_what_it_asked(lookups: Lookups) -> None:
    job = lookups.submit(lead("slow300", "x"))

    def take_away(_fingerprint: str) -> None:
        owner_sql(
            """UPDATE chunks SET status = 'ready', fence = fence + 1, queue = NULL, lease_until = NULL, leased_by = NULL
               WHERE job_id = :j""",
            {"j": job},
        )

    assert lookups.run(tools={"on_call": take_away}) == ["lost"]
    assert lookups.sandbox.summary()["calls"] == 1
    assert lookups.attempts(job) == []
    assert owner_sql("SELECT count(*) FROM lookup_cache") == 0


def test_attempts_are_recorded_with_the_outcomes_in_one_statement(lookups: Lookups) -> None:
    """Said in the usual way it would work as well, so nothing else would show that this one does not."""
    job = lookups.submit(lead("found", "a"))
    (message,) = lookups.world.release()
    taken = lookups.world.take(message)
    assert taken is not None
    lease, now = taken[0], datetime.now(UTC)
    kept = Attempt(1, "apollo", "miss", now, ms=3, identity="x", keep_seconds=60.0)
    notes = [kept, Attempt(1, "hunter", "error", now, code="unavailable", message="HTTP 500")]
    told = record_with_attempts(lease, [answer(1)], notes, seconds=60)
    assert told == Recorded(held=True, cancel=False, recorded=1)
    assert lookups.attempts(job) == [
        ("a", "apollo", "miss", False),
        ("a", "hunter", "error", False),
    ]
    assert lookups.world.rows("SELECT provider, identity, findings FROM lookup_cache") == [
        {"provider": "apollo", "identity": "x", "findings": {}}
    ]
    stale = replace(lease, fence=lease.fence + 1)
    told = record_with_attempts(stale, [], notes, seconds=60)
    assert told is not None
    assert not told.held
    assert len(lookups.attempts(job)) == 2
    # What else is noted goes the usual way.
    assert record_with_attempts(lease, [], [*notes, Over(1)], seconds=60) is None
    assert len(lookups.attempts(job)) == 2


def test_a_remembered_miss_without_a_reason_says_from_when_it_is(lookups: Lookups) -> None:
    job = lookups.submit(lead("miss", "a"), chain=("apollo", "hunter"))
    assert lookups.run() == ["done"]
    owner_sql("UPDATE lookup_cache SET found_at = '2026-01-02 03:04:05Z'")
    assert lookups.results(job)["a"]["message"] == "Not found: e-mail."
    again = Lookups(lookups.world, lookups.sandbox, lookups.redis_url)
    job = again.submit(lead("miss", "b"), chain=("apollo", "hunter"))
    assert again.run() == ["done"]
    row = again.results(job)["b"]
    said = "Remembered from 2026-01-02 03:04 UTC."
    # Once, however many providers it is said of.
    assert (row["verdict"], row["message"]) == ("not_found", f"Not found: e-mail. {said}")
    assert row["data"]["providers"] == {"apollo": f"miss: {said}", "hunter": f"miss: {said}"}
    assert lookups.sandbox.summary()["calls"] == 2


def test_a_call_for_several_asks_nothing_that_the_table_knows(lookups: Lookups) -> None:
    """One of its leads was looked for at the beginning, the other when its turn came."""
    chain, known = ("hunter", "apollo"), lead("hunter.miss-apollo.found", "b")
    lookups.submit(known, chain=chain)
    assert lookups.run() == ["done"]
    other = Lookups(lookups.world, lookups.sandbox, lookups.redis_url)
    # By its profile alone only apollo can be asked about it, and is at first.
    profile = normal_lead("a", {"linkedin_url": "https://linkedin.com/in/found"})
    job = other.submit(profile, known, chain=chain)
    assert other.run(chunk_concurrency=1) == ["done"]
    assert sorted(other.attempts(job)) == [
        ("a", "apollo", "found", False),
        ("b", "apollo", "found", True),
        ("b", "hunter", "miss", True),
    ]
