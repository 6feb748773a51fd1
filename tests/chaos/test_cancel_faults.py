"""A job cancelled while dispatchers release it, again and again: it stops, and nobody else notices."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import text

from app.db.scope import system_scope
from app.jobs import control
from app.jobs.release import release
from tests.chaos.evidence import ARRIVAL_SECONDS, COMMIT_SECONDS, FLUSH_SECONDS
from tests.chaos.harness import CHUNK_ROWS, CLIENT, Stage
from tests.chaos.waiting import wait_for
from tests.integration.ledger_world import totals_agree

pytestmark = pytest.mark.chaos

ROUNDS = 25
ROWS = 300
#: What runs hears of a cancel when it records.
HEARD_SECONDS = FLUSH_SECONDS + COMMIT_SECONDS + ARRIVAL_SECONDS


def cancel(stage: Stage, job: UUID) -> tuple[float, set[int]]:
    """Cancel a job; return when that was acknowledged, and the chunks that ran then."""
    with stage.world.scope(CLIENT) as c:
        control.cancel(c, job)
        running = c.execute(
            text("SELECT id FROM chunks WHERE job_id = :j AND status = 'running'"), {"j": job}
        ).scalars()
        ids = set(running)
    return time.time(), ids


@contextmanager
def dispatching(stage: Stage) -> Iterator[None]:
    """Have this process release as well, without a pause, beside the workers."""
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            stage.dispatch()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def addresses(stage: Stage, job: UUID, chunks: set[int] | None = None) -> set[str]:
    """The addresses of a job, or of some of its chunks."""
    rows = stage.world.rows(
        """SELECT i.email FROM job_items i JOIN chunks c
             ON c.job_id = i.job_id AND i.item_no BETWEEN c.first_item AND c.last_item
           WHERE i.job_id = :j AND (CAST(:all AS boolean) OR c.id = ANY (:c))""",
        j=job,
        all=chunks is None,
        c=list(chunks or ()),
    )
    return {str(row["email"]) for row in rows}


def judge_cancelled(stage: Stage, job: UUID, at: float, running: set[int]) -> int:
    """Check that only what ran went on, and not for long; return how many calls came after the cancel."""
    in_flight, mine = addresses(stage, job, running), addresses(stage, job)
    after = [
        call
        for call in stage.sandbox.calls()
        if call["email"] in mine and call["wall_ms"] / 1e3 > at + ARRIVAL_SECONDS
    ]
    strangers = [call["email"] for call in after if call["email"] not in in_flight]
    assert not strangers, "called for a chunk that did not run at the cancel"
    late = [call for call in after if call["wall_ms"] / 1e3 > at + HEARD_SECONDS]
    assert not late, "called after the cancel must have been heard of"
    found = stage.world.job(job)
    assert found["status"] == "cancelled"
    assert found["chunks_open"] == 0
    totals_agree(stage.world, job)
    statuses = stage.world.rows("SELECT DISTINCT status FROM chunks WHERE job_id = :j", j=job)
    assert {str(row["status"]) for row in statuses} <= {"cancelled", "done"}
    return len(after)


@pytest.mark.parametrize("seed", range(3))
def test_cancelled_at_the_moments_of_its_release(stage: Stage, seed: int) -> None:
    """Jobs of fifteen chunks, each cancelled within a tenth of a second of its first release, beside two that go on."""
    chance = random.Random(seed)
    stage.add_client("birch")
    stage.start_workers("one", "two")
    others = [stage.submit(600, client="birch"), stage.submit(600)]
    cancelled: dict[UUID, tuple[float, set[int]]] = {}
    with dispatching(stage):
        for _ in range(ROUNDS):
            job = stage.submit(ROWS)
            pause = threading.Event()
            if chance.random() < 0.5:
                # Once it has begun; else at any moment of its submission.
                with stage.explained(job):
                    wait_for(
                        lambda: stage.chunks(job, "released") or stage.chunks(job, "running"),  # noqa: B023 - used at once
                        40,
                        "it is being released",
                    )
            pause.wait(chance.uniform(0, 0.1))
            cancelled[job] = cancel(stage, job)
        stage.wait_completed(*others, seconds=120)
    wait_for(
        lambda: (
            not stage.world.rows("SELECT 1 FROM chunks WHERE status IN ('released', 'running')")
        ),
        20,
        "nothing runs any more",
    )
    after = [judge_cancelled(stage, job, *when) for job, when in cancelled.items()]
    stage.judge(*others, none_repeated=True)
    wait_for(lambda: stage.messages() == 0, 20, "no message is left")
    held = [len(running) for _, running in cancelled.values()]
    assert any(held), "not one was cancelled while it ran"
    assert not all(held), "not one was cancelled before it ran"
    print(f"chunks that ran at the cancel: {held}; calls after it: {after}")


def test_cancelled_while_its_release_is_not_committed(stage: Stage) -> None:
    """The cancel waits for the release's few milliseconds; what was released is never taken, though its messages come."""
    job, other = stage.submit(80), stage.submit(80)
    acknowledged = threading.Event()

    def cancel_beside() -> None:
        cancel(stage, job)
        acknowledged.set()

    thread = threading.Thread(target=cancel_beside)
    with system_scope(stage.world.app) as slow:
        released = release(slow, limit=256, unattended_window=8, presence_seconds=15)
        assert {each.job_id for each in released} == {job, other}
        thread.start()
        wait_for(lambda: waits_for_a_lock(stage), 10, "the cancel waits for the release")
        assert not acknowledged.is_set()
    thread.join()
    stage.publish(released)
    stage.start_workers("one")
    stage.wait_completed(other)
    wait_for(lambda: stage.messages() == 0, 20, "the old messages are taken away")
    assert not addresses(stage, job) & {call["email"] for call in stage.sandbox.calls()}
    assert stage.world.job(job)["done_items"] == 0
    totals_agree(stage.world, job)
    stage.judge(other, none_repeated=True)


def test_released_while_its_cancel_is_not_committed(stage: Stage) -> None:
    """A release takes nothing of it, waits for nobody, and gives its places to others."""
    job, other = stage.submit(80), stage.submit(80)
    with stage.world.scope(CLIENT) as slow:
        control.cancel(slow, job)
        with system_scope(stage.world.app) as c:
            c.execute(text("SET LOCAL lock_timeout = '5s'"))
            released = release(c, limit=256, unattended_window=8, presence_seconds=15)
        assert {each.job_id for each in released} == {other}
        assert len(released) == 80 / CHUNK_ROWS
    stage.publish(released)
    stage.start_workers("one")
    stage.wait_completed(other)
    assert not addresses(stage, job) & {call["email"] for call in stage.sandbox.calls()}
    stage.judge(other, none_repeated=True)


def waits_for_a_lock(stage: Stage) -> bool:
    return bool(
        stage.world.rows(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%ledger_cancel%'"
        )
    )
