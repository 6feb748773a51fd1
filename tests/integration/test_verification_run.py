"""A chunk's run against real servers: PostgreSQL, Redis with the limits, and the simulated provider."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from app.errors import Misconfigured
from app.jobs import control
from routing.key_pool import Throttled
from sandbox.process import RunningSandbox
from tests.conftest import Environment
from tests.integration.ledger_world import World, totals_agree
from tests.integration.verification_world import KEY, Runs


@pytest.fixture
def sandbox(provider: RunningSandbox) -> RunningSandbox:
    provider.reset()
    provider.put_keys({"key": KEY})
    return provider


@pytest.fixture
def runs(world: World, sandbox: RunningSandbox, environment: Environment, redis_url: str) -> Runs:
    world.add_tenant("acme")
    return Runs(world, sandbox, redis_url)


def test_each_address_gets_its_verdict_with_code_message_and_mx(runs: Runs) -> None:
    job = runs.submit(
        "ok-a@example.com", "ko-b@example.com", "catchall-c@example.com", "greylist-d@example.com"
    )
    assert runs.run() == "done"
    found = runs.results(job)
    assert {email.split("-")[0]: row["verdict"] for email, row in found.items()} == {
        "ok": "valid",
        "ko": "invalid",
        "catchall": "catch_all",
        "greylist": "unknown",
    }
    first = found["ok-a@example.com"]
    assert (first["code"], first["message"], first["provider"], first["is_failure"]) == (
        "ok",
        "Accepted",
        "mailtester",
        False,
    )
    assert first["mx"]
    assert runs.world.job(job)["status"] == "completed"
    totals_agree(runs.world, job)


def test_what_is_surely_invalid_costs_no_call(runs: Runs) -> None:
    job = runs.submit("someone@mailinator.com", "ok-a@example.com")
    assert runs.run() == "done"
    row = runs.results(job)["someone@mailinator.com"]
    assert (row["verdict"], row["provider"]) == ("invalid", "local")
    assert runs.sandbox.summary()["calls"] == 1


def test_an_error_is_retried_with_backoff_and_is_never_a_verdict(runs: Runs) -> None:
    job = runs.submit("flaky2-a@example.com", "ok-b@example.com")
    assert runs.run(retry_base_delay=20) == "done"
    assert runs.results(job)["flaky2-a@example.com"]["verdict"] == "valid"
    assert runs.sandbox.summary()["calls"] == 4


def test_a_far_retry_hands_the_chunk_back_and_remembers_the_attempts(runs: Runs) -> None:
    job = runs.submit("flaky2-a@example.com", "ok-b@example.com")
    assert runs.run(retry_base_delay=60_000) == "retry"
    assert set(runs.results(job)) == {"ok-b@example.com"}, "what is done is recorded"
    [chunk] = runs.world.rows(
        "SELECT status, retries, run_at > now() AS later, attempts FROM chunks"
    )
    assert (chunk["status"], chunk["later"], chunk["attempts"]) == ("ready", True, 0)
    [[attempts, _, reason]] = chunk["retries"].values()
    assert attempts == 1
    assert "500" in reason


@pytest.mark.parametrize("trouble", ["error500", "garbage", "close"])
def test_after_the_last_attempt_the_row_says_unknown_and_why(runs: Runs, trouble: str) -> None:
    job = runs.submit(f"{trouble}-a@example.com")
    assert runs.run(retry_base_delay=1, item_max_attempts=3) == "done"
    [row] = runs.results(job).values()
    assert (row["verdict"], row["is_failure"]) == ("unknown", True)
    assert "after 3 attempts" in row["message"]
    assert runs.world.job(job)["failed_items"] == 1


def test_what_failed_can_be_retried_and_is_then_answered(runs: Runs) -> None:
    job = runs.submit("flaky2-a@example.com", "ok-b@example.com")
    assert runs.run(retry_base_delay=1, item_max_attempts=2) == "done"
    assert runs.results(job)["flaky2-a@example.com"]["is_failure"]
    with runs.world.scope("acme") as c:
        assert control.retry_failed(c, job) == 1
    totals_agree(runs.world, job)
    assert runs.run() == "done"
    assert runs.results(job)["flaky2-a@example.com"]["verdict"] == "valid"
    totals_agree(runs.world, job)
    calls = [c["email"] for c in runs.sandbox.calls()]
    assert calls.count("ok-b@example.com") == 1, "what had a verdict is not paid for again"


def test_a_throttled_call_spends_no_attempt(runs: Runs) -> None:
    job = runs.submit("throttled2-a@example.com")
    how = runs.run(item_max_attempts=1)
    while how != "done":
        assert how == "throttled"
        assert runs.world.rows("SELECT attempts, retries FROM chunks") == [
            {"attempts": 0, "retries": {}}
        ]
        with runs.world.owner.begin() as c:
            c.exec_driver_sql("DELETE FROM lane_holds")
        runs.world.make_due()
        how = runs.run(item_max_attempts=1)
    assert runs.results(job)["throttled2-a@example.com"]["verdict"] == "valid"


def test_a_spent_key_holds_the_lane_until_it_gives_again(runs: Runs) -> None:
    job = runs.submit(*(f"ok-{n}@example.com" for n in range(8)))
    runs.submit("ok-other@example.com")
    assert runs.run(key={"daily_limit": 5}) == "throttled"
    assert len(runs.results(job)) == 5
    hold = runs.hold()
    assert hold is not None
    assert (hold["reason"], hold["holds"]) == ("daily_quota", True)
    assert runs.world.release() == [], "the client's other work would find the same keys empty"


def test_without_a_key_the_lane_waits_and_says_so(runs: Runs) -> None:
    runs.submit("ok-a@example.com")
    assert runs.run(key={"secret": ""}) == "throttled"
    hold = runs.hold()
    assert hold is not None
    assert hold["reason"] == "no_keys"
    assert runs.sandbox.summary()["calls"] == 0


def test_a_bad_key_opens_its_circuit_and_spends_no_attempt(runs: Runs) -> None:
    runs.submit("ok-a@example.com", "ok-b@example.com")
    assert runs.run(key={"secret": SecretStr("revoked-key-9999")}) == "throttled"
    hold = runs.hold()
    assert hold is not None
    assert hold["reason"] == "circuit_open"
    assert runs.world.rows("SELECT retries FROM chunks") == [{"retries": {}}]


def test_a_cancelled_job_stops_within_a_record_and_keeps_what_is_done(runs: Runs) -> None:
    job = runs.submit(*(f"slow200-{n}@example.com" for n in range(60)))

    async def cancel() -> None:
        while not runs.sandbox.summary()["calls"]:
            await asyncio.sleep(0.02)
        with runs.world.scope("acme") as c:
            control.cancel(c, job)

    assert runs.run(during=cancel, chunk_concurrency=4, flush_seconds=0.1) == "cancelled"
    found = runs.world.job(job)
    assert found["status"] == "cancelled"
    assert 0 < len(runs.results(job)) < 60
    totals_agree(runs.world, job)


def test_a_chunk_gives_its_slot_back_when_its_slice_is_over(runs: Runs) -> None:
    job = runs.submit(*(f"slow200-{n}@example.com" for n in range(60)))
    assert runs.run(chunk_concurrency=4, flush_seconds=0.1, chunk_slice_seconds=0.3) == "slice"
    assert runs.world.rows("SELECT status, attempts FROM chunks") == [
        {"status": "ready", "attempts": 0}
    ]
    assert runs.run(chunk_concurrency=60) == "done"
    calls = [c["email"] for c in runs.sandbox.calls()]
    assert len(calls) == len(set(calls)) == 60, "no address is paid for twice"
    totals_agree(runs.world, job)


def test_a_process_that_must_go_hands_back_within_its_grace(runs: Runs) -> None:
    runs.submit("timeout-a@example.com", "ok-b@example.com")
    runs.drain_by = time.monotonic() + 0.5
    assert runs.run(flush_seconds=0.1) == "abandoned"
    assert runs.world.rows("SELECT status, attempts FROM chunks") == [
        {"status": "ready", "attempts": 0}
    ]


def test_a_lost_lease_records_nothing_more(runs: Runs) -> None:
    job = runs.submit(*(f"slow100-{n}@example.com" for n in range(40)))

    async def steal() -> None:
        while not runs.sandbox.summary()["calls"]:
            await asyncio.sleep(0.02)
        [chunk] = runs.world.rows("SELECT id FROM chunks")
        runs.world.expire(chunk["id"])
        runs.world.recover()

    assert runs.run(during=steal, chunk_concurrency=4, flush_seconds=0.1) == "lost"
    before = len(runs.results(job))
    assert runs.run(chunk_concurrency=40) == "done"
    assert len(runs.results(job)) == 40
    assert before < 40
    totals_agree(runs.world, job)


def test_a_stale_message_does_nothing(runs: Runs) -> None:
    runs.submit("ok-a@example.com")
    [message] = runs.world.release()
    assert runs.run(message) == "done"
    assert runs.run(message) == "stale"
    assert runs.sandbox.summary()["calls"] == 1


@pytest.mark.parametrize("minutes", [-1, 1])
def test_a_clock_that_is_a_minute_off_moves_no_moment(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    real, off = time.time, timedelta(minutes=minutes)
    runs.submit("flaky2-a@example.com")
    monkeypatch.setattr(time, "time", lambda: real() + off.total_seconds())
    assert runs.run(retry_base_delay=20_000) == "retry"
    [chunk] = runs.world.rows("SELECT extract(epoch FROM run_at - now()) AS wait FROM chunks")
    assert 5 < float(str(chunk["wait"])) <= 20
    runs.world.make_due()

    class Spent:
        async def acquire(self, _tenant: str, _rank: int) -> None:
            raise Throttled(datetime.now(UTC) + off + timedelta(seconds=10), "window", 10)

    async def pool_for(_tenant: UUID) -> Any:
        return Spent()

    runs.submit("ok-a@example.com")
    fresh = runs.world.release()[-1]
    assert runs.run(fresh, tools={"pools": {"mailtester": pool_for}}) == "throttled"
    [hold] = runs.world.rows("SELECT extract(epoch FROM until - now()) AS wait FROM lane_holds")
    assert 5 < float(str(hold["wait"])) <= 9, "the keys' wait, less the head start"


def test_keys_that_cannot_be_read_cost_a_chunk_time_but_no_attempt(runs: Runs) -> None:
    runs.submit("ok-a@example.com")

    async def pool_for(_tenant: UUID) -> Any:
        raise Misconfigured("ENCRYPTION_KEYS does not hold the key.")

    assert runs.run(tools={"pools": {"mailtester": pool_for}}) == "limits_unavailable"
    assert runs.world.rows("SELECT status, attempts FROM chunks") == [
        {"status": "ready", "attempts": 0}
    ]


def test_a_run_whose_records_break_off_lets_go(runs: Runs) -> None:
    job = runs.submit(*(f"slow200-{n}@example.com" for n in range(60)))
    broken = iter([True])

    def on_recorded(rows: int) -> None:
        if rows and next(broken, False):
            raise RuntimeError("a defect")

    how = runs.run(
        tools={"on_recorded": on_recorded}, chunk_concurrency=4, flush_seconds=0.1, lease_seconds=2
    )
    assert how == "abandoned"
    assert runs.world.rows("SELECT status FROM chunks") == [{"status": "ready"}]
    totals_agree(runs.world, job)
