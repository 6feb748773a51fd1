"""A search that is broken off in the middle goes on where it was; and no use of a key knows less of its limits than another."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from app.jobs import control
from app.jobs.release import Released
from sandbox.mode import Mode
from sandbox.process import RunningSandbox
from tests.factories import owner_sql
from tests.integration.client_world import wait_until
from tests.integration.finder_world import FINDER, addresses, anna, asked, steps
from tests.integration.ledger_world import World, totals_agree
from tests.integration.lookup_world import KEY, Lookups
from tests.integration.verification_world import Runs

THIRD = "has-anna.shop.example"
NEVER = "miss-shop.example"


def other_process(lookups: Lookups) -> Lookups:
    """One that remembers nothing: what was recorded must tell."""
    owner_sql("DELETE FROM lookup_cache")
    lookups.world.make_due()
    return Lookups(lookups.world, lookups.sandbox, lookups.redis_url)


def trouble_at_the_second(lookups: Lookups, rate: str, word: str) -> None:
    """Have the vendor misbehave once, when the second address is asked about for the first time."""
    emails = addresses(THIRD)[:3]

    def fits(seed: int) -> bool:
        mode = Mode.parse({rate: 0.3, "seed": seed})
        mishaps = [mode.mishap(email, nth) for email in emails for nth in (1, 2)]
        return mishaps == [None, None, word, None, None, None]

    seed = next(seed for seed in range(10_000) if fits(seed))
    lookups.sandbox.set_mode(**{rate: 0.3, "seed": seed})


def test_too_fast_in_the_middle_is_waited_for_and_the_same_is_asked(lookups: Lookups) -> None:
    trouble_at_the_second(lookups, "throttle_rate", "throttled")
    job = lookups.submit(anna(THIRD), chain=FINDER, max_retries=0)
    assert lookups.run() == ["done"]
    first, second, third = addresses(THIRD)[:3]
    assert asked(lookups) == [first, second, second, third]
    assert steps(lookups, job) == [
        ("pending", "next:flast", 1),
        ("error", "provider_throttled", None),
        ("pending", "next:first", 1),
        ("found", None, 1),
    ]


def test_an_error_in_the_middle_is_no_miss_and_another_lease_goes_on_there(
    lookups: Lookups,
) -> None:
    trouble_at_the_second(lookups, "error_rate", "error500")
    job = lookups.submit(anna(THIRD), chain=FINDER)
    assert lookups.run(retry_base_delay=60_000) == ["retry"]
    assert lookups.results(job) == {}
    owner_sql("""UPDATE chunks SET retries = '{"1": [1, 0, "an error"]}'""")
    assert other_process(lookups).run() == ["done"]
    first, second, third = addresses(THIRD)[:3]
    assert asked(lookups) == [first, second, second, third]
    assert lookups.results(job)["x"]["verdict"] == "found"


def test_a_retry_goes_on_with_the_address_that_had_no_answer(lookups: Lookups) -> None:
    trouble_at_the_second(lookups, "error_rate", "error500")
    job = lookups.submit(anna(THIRD), chain=FINDER, max_retries=0)
    assert lookups.run() == ["done"]
    row = lookups.results(job)["x"]
    assert (row["verdict"], row["code"]) == ("unknown", "provider_unavailable")
    with lookups.world.scope("acme") as c:
        assert control.retry_failed(c, job) == 1
    assert other_process(lookups).run() == ["done"]
    assert lookups.results(job)["x"]["verdict"] == "found"
    first, second, third = addresses(THIRD)[:3]
    assert asked(lookups) == [first, second, second, third]


def test_a_key_that_is_spent_in_the_middle_is_waited_for_and_then_gone_on_with(
    lookups: Lookups,
) -> None:
    lookups.keys["mailtester"] = {"spacing_ms": 0, "daily_limit": 2}
    job = lookups.submit(anna(THIRD), chain=FINDER)
    assert lookups.run() == ["waiting"]
    (chunk,) = lookups.world.rows("SELECT waits_for, attempts, retries FROM chunks")
    assert chunk == {"waits_for": "daily_quota", "attempts": 0, "retries": {}}
    assert lookups.results(job) == {}
    assert other_process(lookups).run() == ["done"]
    assert asked(lookups) == addresses(THIRD)[:3]
    assert lookups.results(job)["x"]["verdict"] == "found"


def test_a_key_that_is_spent_in_the_middle_leaves_the_lead_to_the_next(lookups: Lookups) -> None:
    lookups.keys["mailtester"] = {"spacing_ms": 0, "daily_limit": 2}
    domain = "hunter.found-mailtester.has-anna.shop.example"
    job = lookups.submit(anna(domain), chain=("mailtester", "hunter"))
    assert lookups.run() == ["done"]
    row = lookups.results(job)["x"]
    assert row["provider"] == "hunter"
    assert (
        row["data"]["providers"]["mailtester"] == "skipped: its keys' quota of the day is used up"
    )


def test_a_key_that_is_refused_in_the_middle_rests_and_tells_nothing_of_the_lead(
    lookups: Lookups,
) -> None:
    lookups.sandbox.set_mode(latency_ms=[200, 200])
    disable = {"key": KEY, "disabled": True}

    def at_the_second(_fingerprint: str) -> None:
        calls.append(1)
        if len(calls) == 2:
            lookups.sandbox.put_keys(disable)

    calls: list[int] = []
    job = lookups.submit(anna(THIRD), chain=FINDER)
    try:
        assert lookups.run(tools={"on_call": at_the_second}) == ["waiting"]
    finally:
        lookups.sandbox.put_keys({"key": KEY})
    assert steps(lookups, job)[-1] == ("error", "provider_unauthorized", None)
    (chunk,) = lookups.world.rows("SELECT waits_for FROM chunks")
    assert chunk["waits_for"] == "circuit_open"
    assert other_process(lookups).run() == ["done"]
    assert lookups.results(job)["x"]["verdict"] == "found"
    first, second, third = addresses(THIRD)[:3]
    assert asked(lookups) == [first, second, second, third]


def test_a_lease_that_is_lost_in_the_middle_repeats_only_what_was_not_recorded(
    lookups: Lookups,
) -> None:
    lookups.sandbox.set_mode(latency_ms=[300, 300])
    job = lookups.submit(anna(NEVER), chain=FINDER)
    made: list[str] = []

    def take_away(_fingerprint: str) -> None:
        made.append("call")
        if len(made) > 2 and len(steps(lookups, job)) == len(made) - 1:
            owner_sql(
                """UPDATE chunks SET status = 'ready', fence = fence + 1, queue = NULL, lease_until = NULL, leased_by = NULL
                   WHERE job_id = :j""",
                {"j": job},
            )

    assert lookups.run(tools={"on_call": take_away}, flush_calls=1) == ["lost"]
    recorded = len(steps(lookups, job))
    assert 2 <= recorded < len(made)
    assert other_process(lookups).run() == ["done"]
    emails = addresses(NEVER)
    # Only the call that was under way, and those before the loss was noticed.
    assert asked(lookups) == emails[: len(made)] + emails[recorded:]
    assert lookups.results(job)["x"]["verdict"] == "not_found"
    assert [outcome for outcome, _, _ in steps(lookups, job)] == ["pending"] * 7 + ["miss"]


def test_a_step_that_this_version_does_not_know_begins_with_the_first(lookups: Lookups) -> None:
    lookups.keys["mailtester"] = {"spacing_ms": 0, "daily_limit": 2}
    job = lookups.submit(anna(THIRD), chain=FINDER)
    assert lookups.run() == ["waiting"]
    owner_sql("UPDATE lookup_attempts SET code = 'next:a-pattern-of-before'")
    assert other_process(lookups).run() == ["done"]
    assert asked(lookups)[2:] == addresses(THIRD)[:3]
    assert lookups.results(job)["x"]["verdict"] == "found"


def test_searches_and_verification_together_keep_within_a_key_s_limits(
    lookups: Lookups, world: World, provider: RunningSandbox, redis_url: str
) -> None:
    """Two processes with the same key, each with one kind of work, judged by the vendor's own record."""
    limits: dict[str, Any] = {"spacing_ms": 150, "windows": [[8, 2_400]]}
    provider.put_keys({"key": KEY, **limits})
    key = {"fingerprint": uuid4().hex, "spacing_ms": 150, "windows": ((8, 2_400),)}
    # Wide, because a busy machine may keep a call on its way for long; what is left must hold.
    margins = {"limit_spacing_margin_ms": 150, "limit_window_margin_ms": 600}
    world.add_user("acme", "acme@example.com")
    world.attend("verification-queue", 16)
    lookups.keys = {"mailtester": key}
    runs = Runs(world, provider, redis_url)
    leads = [anna(f"has-anna.shop{n}.example", str(n)) for n in range(4)]
    jobs = [
        lookups.submit(*leads, chain=FINDER),
        runs.submit(*(f"ok-{n}@shop.example" for n in range(10))),
    ]
    deadline = time.monotonic() + 120

    def start(message: Released) -> Future[list[str]]:
        if message.kind == "enrich":
            return threads.submit(lookups.run, message, **margins)
        return threads.submit(runs.run, message, key=key, **margins)

    with ThreadPoolExecutor(2) as threads:
        search, check = sorted(world.release(), key=lambda message: message.kind)
        started = [start(search)]
        wait_until(lambda: provider.summary()["calls"] > 0, "the search has begun")
        # Twelve calls at that spacing take two seconds, so both are at it now.
        started.append(start(check))
        assert not started[0].done()
        while any(world.job(job)["status"] != "completed" for job in jobs):
            assert time.monotonic() < deadline
            for running in started:
                running.result(60)
            owner_sql("DELETE FROM lane_holds")
            world.make_due()
            started = [start(message) for message in world.release()]
    summary = provider.summary()
    assert summary["violations"] == 0, summary
    assert summary["calls"] == 4 * 3 + 10
    for job in jobs:
        totals_agree(world, job)
