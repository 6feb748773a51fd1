"""Cancel and retry where they cross with work under way: what is done is counted once, whoever counts it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.db.scope import system_scope
from app.errors import NotFound
from app.jobs import control
from app.jobs.lease import Lease
from tests.integration.ledger_world import World, answer, totals_agree


def begin(world: World) -> tuple[Lease, list[int]]:
    """Take the one chunk of a client's job and record the first three of its rows."""
    taken = world.take(world.release()[0])
    assert taken
    lease, items = taken
    world.record(lease, [answer(no) for no in items[:3]])
    return lease, items


def test_what_a_waiting_chunk_had_done_is_kept_by_a_cancel(world: World) -> None:
    world.add_tenant("acme")
    job = world.submit("acme", 10, size=10)
    lease, _ = begin(world)
    assert world.put_back(lease)
    with world.scope("acme") as c:
        control.cancel(c, job)
    found = world.job(job)
    assert (found["status"], found["done_items"], found["counts"]) == ("cancelled", 3, {"valid": 3})
    totals_agree(world, job)


def test_a_chunk_that_is_handed_back_after_a_cancel_ends(world: World) -> None:
    world.add_tenant("acme")
    job = world.submit("acme", 10, size=10)
    lease, _ = begin(world)
    with world.scope("acme") as c:
        control.cancel(c, job)
    assert world.put_back(lease)
    assert world.release() == []
    found = world.job(job)
    assert (found["status"], found["done_items"], found["chunks_open"]) == ("cancelled", 3, 0)
    totals_agree(world, job)


def test_a_chunk_whose_worker_dies_after_a_cancel_ends(world: World) -> None:
    world.add_tenant("acme")
    job = world.submit("acme", 10, size=10)
    lease, _ = begin(world)
    with world.scope("acme") as c:
        control.cancel(c, job)
    world.expire(lease.chunk_id)
    assert [chunk.status for chunk in world.recover()] == ["cancelled"]
    totals_agree(world, job)


def test_a_dead_chunk_answers_also_the_repeats_of_its_rows_in_other_chunks(world: World) -> None:
    world.add_tenant("acme")
    job = world.submit("acme", 10, size=5)
    with world.scope("acme") as c:
        c.execute(
            text("INSERT INTO job_duplicates (job_id, item_no, duplicate_of) VALUES (:j, 10, 1)"),
            {"j": job},
        )
    first, second = (taken for message in world.release() if (taken := world.take(message)))
    world.record(second[0], [answer(no) for no in second[1]])
    world.finish(second[0])
    world.expire(first[0].chunk_id)
    assert [chunk.status for chunk in world.recover(attempts=1)] == ["dead"]
    found = world.job(job)
    assert (found["status"], found["done_items"]) == ("completed", 10)
    assert found["counts"] == {"valid": 4, "unknown": 6}
    totals_agree(world, job)


def test_another_clients_failures_are_not_retried(world: World) -> None:
    world.add_tenant("acme")
    world.add_tenant("other")
    job = world.submit("acme", 10, size=10)
    taken = world.take(world.release()[0])
    assert taken
    lease, items = taken
    world.record(lease, [answer(no, "unknown", failure=True) for no in items])
    world.finish(lease)
    with world.scope("other") as c, pytest.raises(NotFound):
        control.retry_failed(c, job)
    # The function takes the rights of its owner, so it looks for itself.
    with world.scope("other") as c:
        assert c.execute(text("SELECT ledger_retry(:j)"), {"j": job}).scalar_one() == 0
    assert world.job(job)["status"] == "completed"
    totals_agree(world, job)


def test_many_who_recover_at_once_do_not_wait_for_each_other(world: World) -> None:
    """Chunks of the same jobs in everybody's hands, in any order: each recovery counts at several jobs."""
    world.add_tenant("acme")
    jobs = [world.submit("acme", 200, size=10) for _ in range(20)]
    with world.owner.begin() as c:
        c.execute(
            text("""UPDATE chunks SET status = 'running', cancel_requested = true,
                    lease_until = now() - random() * interval '1 min'""")
        )
    together = threading.Barrier(4)

    def recover(_caller: int) -> list[str]:
        together.wait()
        deadlocks = []
        for _ in range(12):
            try:
                with system_scope(world.app) as c:
                    c.execute(text("SELECT count(*) FROM ledger_recover(5, 0, 20)"))
            except OperationalError as error:
                deadlocks.append(str(error.orig))
        return deadlocks

    with ThreadPoolExecutor(4) as callers:
        assert list(callers.map(recover, range(4))) == [[], [], [], []]
    world.recover()
    assert {world.job(job)["chunks_open"] for job in jobs} == {0}
