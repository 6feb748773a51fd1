"""When a chunk may call: outcomes are kept while the database is away, and no call is made that may go unrecorded."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from sqlalchemy.exc import OperationalError

from app.jobs.lease import Lease
from app.jobs.records import Outcome, Recorded
from app.work.recorder import Recorder
from app.work.tools import Tools

NOW = datetime.now(UTC)
LEASE = Lease(
    chunk_id=1,
    fence=0,
    job_id=uuid4(),
    tenant_id=uuid4(),
    kind="verify",
    priority=3,
    first_item=1,
    last_item=100,
    attempts=1,
    run_at=NOW,
    taken_at=NOW,
    params={},
    max_attempts=None,
)
Write = Callable[[], Awaitable[Recorded]]


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Have pytest run a coroutine."""

    def run() -> None:
        asyncio.run(test())

    return run


def outcome(item_no: int) -> Outcome:
    return Outcome(item_no, "valid", "ok", "Accepted", None, "test", NOW)


async def works() -> Recorded:
    return Recorded(held=True, cancel=False, recorded=1)


async def fails() -> Recorded:
    raise OperationalError("the database is away", None, Exception())


def recorder(
    write: Write,
    *,
    lease_seconds: float = 30,
    flush_seconds: float = 1,
    drain_by: float | None = None,
    on_recorded: Callable[[int], object] = lambda _rows: None,
) -> Recorder:
    """Return a recorder whose database does as `write` does."""
    settings = SimpleNamespace(
        lease_seconds=lease_seconds, flush_seconds=flush_seconds, flush_calls=50
    )
    tools: Any = SimpleNamespace(
        settings=settings,
        in_thread=lambda _call: write(),
        on_recorded=on_recorded,
        drain_by=lambda: drain_by,
    )
    return Recorder(cast("Tools", tools), LEASE, asked_at=asyncio.get_running_loop().time())


@on_a_loop
async def test_fifty_outcomes_are_enough_to_record() -> None:
    kept = recorder(works)
    for item_no in range(49):
        kept.add(outcome(item_no))
    assert not kept.full.is_set()
    kept.add(outcome(49))
    assert kept.full.is_set()
    await kept.flush()
    assert not kept.full.is_set()


@on_a_loop
async def test_no_call_while_records_fail_and_again_when_they_work() -> None:
    answers = iter([fails(), works()])
    kept = recorder(answers.__next__)
    kept.add(outcome(1))
    with pytest.raises(OperationalError):
        await kept.flush()
    assert not kept.is_open
    await kept.flush()
    assert kept.is_open


@on_a_loop
async def test_no_call_while_a_record_hangs() -> None:
    go_on = asyncio.Event()

    async def hangs() -> Recorded:
        await go_on.wait()
        return await works()

    kept = recorder(hangs, flush_seconds=0.01)
    flushing = asyncio.create_task(kept.flush())
    async with asyncio.timeout(10):
        while kept.is_open:
            await asyncio.sleep(0.005)
    go_on.set()
    await flushing
    assert kept.is_open


@on_a_loop
async def test_no_call_when_the_lease_may_have_run_out() -> None:
    kept = recorder(works, lease_seconds=0)
    assert not kept.is_open


@on_a_loop
async def test_notes_are_enough_to_record_too() -> None:
    kept = recorder(works)
    for _ in range(50):
        assert not kept.full.is_set()
        kept.note(object())
    assert kept.full.is_set()


@on_a_loop
async def test_what_was_paid_for_is_saved_once_the_database_is_back() -> None:
    answers = iter([fails(), fails(), works()])
    kept = recorder(answers.__next__, flush_seconds=0.01)
    kept.add(outcome(1))
    await kept.save(None)
    assert next(answers, None) is None
    assert kept.is_open


@on_a_loop
async def test_a_process_that_must_go_does_not_wait_for_the_database() -> None:
    kept = recorder(fails, flush_seconds=0.01, drain_by=0.0)
    kept.add(outcome(1))
    with pytest.raises(OperationalError):
        await kept.save(None)


@on_a_loop
async def test_a_write_that_nobody_waits_for_any_more_is_not_written_again() -> None:
    """A run that ends cancels whoever records; a statement that was sent is carried out all the same."""
    begun, go_on, told = asyncio.Event(), asyncio.Event(), list[int]()

    async def hangs() -> Recorded:
        begun.set()
        await go_on.wait()
        return await works()

    kept = recorder(hangs, on_recorded=told.append)
    for item_no in range(49):
        kept.add(outcome(item_no))
    keeper = asyncio.create_task(kept.flush())
    await begun.wait()
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    go_on.set()
    async with asyncio.timeout(10):
        while not told:
            await asyncio.sleep(0.005)
    kept.add(outcome(50))
    assert not kept.full.is_set()
