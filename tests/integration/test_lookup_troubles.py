"""A chunk of leads when something goes wrong: a bad lead, a spent key, a cancelled job, a database that is away."""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import OperationalError

from app.enrichment.submit import normal_lead
from app.jobs import control
from tests.factories import owner_sql
from tests.integration.ledger_world import totals_agree
from tests.integration.lookup_world import Lookups, lead


def cut_in_two(job: UUID) -> None:
    """Make two chunks of a job of four leads."""
    owner_sql("UPDATE chunks SET last_item = 2 WHERE job_id = :j", {"j": job})
    owner_sql(
        """INSERT INTO chunks (job_id, tenant_id, kind, priority, first_item, last_item)
           SELECT job_id, tenant_id, kind, priority, 3, 4 FROM chunks WHERE job_id = :j""",
        {"j": job},
    )
    owner_sql("UPDATE jobs SET chunks_open = 2 WHERE id = :j", {"j": job})


@pytest.mark.parametrize(
    ("word", "code"), [("blocked", "provider_rejected"), ("error500", "provider_unavailable")]
)
def test_a_lead_that_its_provider_fails_at_takes_no_other_with_it(
    lookups: Lookups, word: str, code: str
) -> None:
    good = [lead(f"found-{n}", str(n)) for n in range(9)]
    job = lookups.submit(lead(word, "bad"), *good, chain=("apollo",), max_retries=0)
    assert lookups.run(chunk_concurrency=1) == ["done"]
    rows = lookups.results(job)
    bad = rows.pop("bad")
    assert (bad["code"], bad["is_failure"]) == (code, True)
    assert {(row["verdict"], row["code"]) for row in rows.values()} == {("found", None)}
    # One call for all, then one for each.
    assert lookups.sandbox.summary()["calls"] == 11
    totals_agree(lookups.world, job)


def test_a_retry_asks_again_who_refused(lookups: Lookups) -> None:
    job = lookups.submit(lead("blocked", "x"), chain=("apollo",))
    assert lookups.run() == ["done"]
    assert lookups.results(job)["x"]["code"] == "provider_rejected"
    before = lookups.sandbox.summary()["calls"]
    with lookups.world.scope("acme") as c:
        assert control.retry_failed(c, job) == 1
    assert lookups.run() == ["done"]
    assert lookups.sandbox.summary()["calls"] == before + 1


def test_who_refused_is_not_asked_again_by_the_next_lease(lookups: Lookups) -> None:
    job = lookups.submit(lead("apollo.blocked-hunter.flaky1", "x"))
    assert lookups.run(retry_base_delay=60_000) == ["retry"]
    owner_sql("""UPDATE chunks SET run_at = now(), retries = '{"1": [1, 0, "an error"]}'""")
    assert lookups.run() == ["done"]
    told = [(who, outcome) for _, who, outcome, _ in lookups.attempts(job)]
    assert told == [("apollo", "refused"), ("hunter", "error"), ("hunter", "found")]


def away_after(calls: int, seconds: float) -> dict[str, Any]:
    """Tools of a run whose database is away for some seconds, from its so-manieth call on."""
    made, until = [0], [0.0]

    def on_call(_fingerprint: str) -> None:
        made[0] += 1
        if made[0] == calls:
            until[0] = time.monotonic() + seconds

    async def fail() -> None:
        raise OperationalError("away", {}, Exception("away"))

    def in_thread(call: Callable[[], Any]) -> Any:
        if time.monotonic() < until[0]:
            return fail()
        return asyncio.get_running_loop().run_in_executor(None, call)

    return {"on_call": on_call, "in_thread": in_thread}


def test_answers_outlive_a_moment_without_the_database(lookups: Lookups) -> None:
    job = lookups.submit(*(lead(f"apollo.miss-hunter.found-{n}", str(n)) for n in range(6)))
    away = away_after(3, 1.5)
    assert lookups.run(tools=away, chunk_concurrency=1, flush_seconds=30.0) == [
        "limits_unavailable"
    ]
    lookups.world.make_due()
    # A process that remembers nothing.
    Lookups(lookups.world, lookups.sandbox, lookups.redis_url).run()
    assert len(lookups.results(job)) == 6
    assert lookups.sandbox.summary()["calls"] == 1 + 6
    totals_agree(lookups.world, job)


def test_a_defect_loses_no_answer_while_the_database_is_away(lookups: Lookups) -> None:
    job = lookups.submit(lead("found", "x"), lead("found-2", "y"), chain=("hunter",))
    away, made = away_after(1, 1.5), list[str]()

    def break_at_the_second(fingerprint: str) -> None:
        away["on_call"](fingerprint)
        made.append(fingerprint)
        if len(made) == 2:
            raise AssertionError("a defect")

    tools = {**away, "on_call": break_at_the_second}
    with pytest.raises(AssertionError, match="a defect"):
        lookups.run(tools=tools, chunk_concurrency=1, flush_seconds=0.5)
    assert [(who, outcome) for _, who, outcome, _ in lookups.attempts(job)] == [("hunter", "found")]


def test_a_lead_that_must_wait_stops_no_other(lookups: Lookups) -> None:
    lookups.keys["apollo"] = None  # type: ignore[assignment]
    # By its profile alone only apollo can be asked about it, which has no key.
    first = normal_lead("first", {"linkedin_url": "https://linkedin.com/in/found"})
    job = lookups.submit(first, *(lead(f"found-{n}", str(n)) for n in range(3)))
    cut_in_two(job)
    one, two = lookups.world.release()
    assert lookups.world.rows(
        "UPDATE chunks SET status = 'ready' WHERE id = :c RETURNING id", c=two.chunk_id
    )
    assert lookups.run(one) == ["waiting"]
    assert set(lookups.results(job)) == {"0"}
    chunks = lookups.world.rows("SELECT waits_for, run_at > now() AS later FROM chunks ORDER BY id")
    # The other chunk has leads that somebody can be asked about, as this one had.
    assert chunks == [{"waits_for": "no_keys", "later": True}, {"waits_for": None, "later": False}]
    assert lookups.run() == ["done"]
    assert set(lookups.results(job)) == {"0", "1", "2"}
    assert lookups.world.job(job)["status"] == "processing"


def test_the_other_chunks_wait_too_where_nobody_can_be_asked(lookups: Lookups) -> None:
    lookups.keys = dict.fromkeys(lookups.keys)  # type: ignore[arg-type]
    job = lookups.submit(*(lead(f"found-{n}", str(n)) for n in range(4)))
    cut_in_two(job)
    one, two = lookups.world.release()
    assert lookups.world.rows(
        "UPDATE chunks SET status = 'ready' WHERE id = :c RETURNING id", c=two.chunk_id
    )
    assert lookups.run(one) == ["waiting"]
    chunks = lookups.world.rows("SELECT waits_for, run_at > now() AS later FROM chunks ORDER BY id")
    assert chunks == [{"waits_for": "no_keys", "later": True}] * 2


def test_a_cancelled_job_does_not_go_on_to_verify(lookups: Lookups) -> None:
    """It is cancelled while its last lead is asked about."""
    job = lookups.submit(lead("slow400", "hit"), verifies=True)

    def cancel(_fingerprint: str) -> None:
        with lookups.world.scope("acme") as c:
            control.cancel(c, job)

    assert lookups.run(tools={"on_call": cancel}) == ["cancelled"]
    assert lookups.world.job(job)["status"] == "cancelled"
    assert lookups.world.release() == []


def test_a_chunk_that_cannot_be_read_counts_its_attempts(lookups: Lookups) -> None:
    job = lookups.submit(lead("found", "x"))
    owner_sql(
        """UPDATE jobs SET params = params || '{"wanted": ["shoes"]}' WHERE id = :j""", {"j": job}
    )
    for attempt in (1, 2, 3):
        (message,) = lookups.world.release()
        with pytest.raises(ValueError, match="shoes"):
            lookups.run(message)
        (chunk,) = lookups.world.rows("SELECT status, attempts FROM chunks")
        assert chunk == {"status": "running", "attempts": attempt}
        lookups.world.expire(message.chunk_id)
        lookups.world.recover(3)
        lookups.world.make_due()
    assert lookups.world.job(job)["status"] == "dead_letter"
