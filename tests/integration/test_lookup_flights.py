"""One flight for equal questions, whichever worker process has them; and who waits for nobody that died or takes too long."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from tests.factories import owner_sql
from tests.integration.finder_world import FINDER, addresses, anna, asked
from tests.integration.lookup_world import Lookups, lead

#: Calls that take so long that whoever begins meanwhile is there before the answer, on a busy machine too.
SLOW, SLOWER = "slow3000", "slow6000"


@pytest.fixture
def processes(lookups: Lookups) -> tuple[Lookups, Lookups]:
    """Two worker processes, each with a memory of its own."""
    return lookups, Lookups(lookups.world, lookups.sandbox, lookups.redis_url)


def wait_until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def side_by_side(processes: tuple[Lookups, Lookups], *words: str, **settings: Any) -> list[UUID]:
    """Run a lead a process; the second begins while the first one's call is under way."""
    first, second = processes
    jobs = [first.submit(lead(words[0], "a")), second.submit(lead(words[-1], "b"))]
    one, other = first.world.release()
    if one.job_id != jobs[0]:
        one, other = other, one
    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(first.run, one, **settings)
        wait_until(lambda: first.sandbox.summary()["calls"] == 1)
        assert threads.submit(second.run, other, **settings).result(60) == ["done"]
        assert running.result(60) == ["done"]
    return jobs


def test_equal_questions_of_two_processes_at_once_are_one_call(
    processes: tuple[Lookups, Lookups],
) -> None:
    first, second = processes
    jobs = side_by_side(processes, SLOW, enrichment_flight_seconds=60)
    assert first.sandbox.summary()["calls"] == 1
    assert first.attempts(jobs[0]) == [("a", "apollo", "found", False)]
    assert second.attempts(jobs[1]) == [("b", "apollo", "found", True)]
    assert second.results(jobs[1])["b"]["verdict"] == "found"


def test_other_questions_wait_for_nobody(processes: tuple[Lookups, Lookups]) -> None:
    side_by_side(processes, SLOW, "found", enrichment_flight_seconds=60)
    assert processes[0].sandbox.summary()["calls"] == 2


def test_where_it_is_switched_off_each_asks(processes: tuple[Lookups, Lookups]) -> None:
    side_by_side(processes, SLOWER, enrichment_flight_seconds=0)
    assert processes[0].sandbox.summary()["calls"] == 2
    assert owner_sql("SELECT count(*) FROM lookup_claims") == 0


def test_who_takes_too_long_is_not_waited_for(processes: tuple[Lookups, Lookups]) -> None:
    jobs = side_by_side(processes, SLOWER, enrichment_flight_seconds=0.3)
    assert processes[0].sandbox.summary()["calls"] == 2
    assert processes[1].results(jobs[1])["b"]["verdict"] == "found"


def test_a_search_is_waited_for_as_long_as_its_calls_may_take(
    processes: tuple[Lookups, Lookups],
) -> None:
    first, second = processes
    first.sandbox.set_mode(latency_ms=[500, 500])
    domain, seconds = "miss-shop.example", {"enrichment_flight_seconds": 2}
    jobs = [process.submit(anna(domain), chain=FINDER) for process in processes]
    messages = {message.job_id: message for message in first.world.release()}
    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(first.run, messages[jobs[0]], **seconds)
        wait_until(lambda: first.sandbox.summary()["calls"] == 1)
        assert threads.submit(second.run, messages[jobs[1]], **seconds).result(60) == ["done"]
        assert running.result(60) == ["done"]
    assert asked(first) == addresses(domain)
    assert second.attempts(jobs[1]) == [("x", "mailtester", "miss", True)]


def test_where_nothing_is_remembered_nobody_is_waited_for(
    processes: tuple[Lookups, Lookups],
) -> None:
    for process in processes:
        process.memory._days = dict.fromkeys(process.memory._days, 0.0)
    side_by_side(processes, SLOWER, enrichment_flight_seconds=60)
    assert processes[0].sandbox.summary()["calls"] == 2


@pytest.mark.parametrize(
    "left",
    [
        "UPDATE chunks SET lease_until = now() + interval '20 s' WHERE job_id = :j",
        "UPDATE chunks SET fence = fence + 1 WHERE job_id = :j",
    ],
    ids=["not heard of for ten seconds", "took the lease again"],
)
def test_a_claim_of_a_process_that_died_holds_nobody_up(
    processes: tuple[Lookups, Lookups], left: str
) -> None:
    first, second = processes
    dead = first.submit(lead("found", "a"))
    (message,) = first.world.release()
    taken = first.world.take(message)
    assert taken is not None
    _claim_all(second, dead)
    owner_sql(left, {"j": dead})
    job = second.submit(lead("found", "b"))
    (message,) = second.world.release()
    # As long as it may be: only a claim that counts for nothing lets it end in time.
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(second.run, message, enrichment_flight_seconds=60)
        assert running.result(30) == ["done"]
    assert second.attempts(job) == [("b", "apollo", "found", False)]


def _claim_all(lookups: Lookups, job: UUID) -> None:
    """Have the running chunk of a job claim what another one's lead asks: known from the claim that a run leaves."""
    scout = lookups.submit(lead("found", "scout"))
    (message,) = lookups.world.release()
    assert Lookups(lookups.world, lookups.sandbox, lookups.redis_url).run(message) == ["done"]
    owner_sql("DELETE FROM lookup_cache")
    claimed = owner_sql(
        """UPDATE lookup_claims k SET chunk_id = c.id, fence = c.fence FROM chunks c WHERE c.job_id = :j
           RETURNING k.chunk_id""",
        {"j": job},
    )
    assert claimed, scout
