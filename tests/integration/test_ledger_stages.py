"""Jobs that find and then verify: each find is verified once, and none that was paid for is lost."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from app.db.scope import tenant_scope
from app.jobs import control, records
from app.jobs import lease as ledger
from app.jobs.lease import Lease
from app.jobs.release import Released
from tests.integration.ledger_world import World, answer, totals_agree

DATA = {"fields": {"email": {"value": "a@b.example", "provider": "apollo"}}, "providers": {}}


@pytest.fixture
def acme(world: World) -> World:
    world.add_tenant("acme")
    return world


def submit(world: World, rows: int = 2, size: int = 10, max_retries: int | None = 2) -> UUID:
    """A job that finds `rows` leads in chunks of `size` and verifies what it finds."""
    job = world.submit("acme", rows, size=size)
    with world.owner.begin() as c:
        values = {"j": job, "n": max_retries}
        c.execute(text("UPDATE chunks SET kind = 'enrich' WHERE job_id = :j"), values)
        c.execute(
            text(
                """UPDATE jobs SET params = '{"then": "verify"}', max_retries = :n WHERE id = :j"""
            ),
            values,
        )
    return job


def find(world: World, lease: Lease, *items: int) -> None:
    """Note finds of a chunk, as its worker does between two records."""
    with tenant_scope(lease.tenant_id, world.app) as c:
        assert records.record(c, lease, [], seconds=60).held
        for item in items:
            c.execute(
                text("""INSERT INTO lookup_finds (job_id, item_no, email, data)
                        VALUES (:j, :i, 'a@b.example', CAST(:d AS jsonb))"""),
                {"j": lease.job_id, "i": item, "d": json.dumps(DATA)},
            )


def take(world: World, kind: str) -> tuple[Lease, list[int]]:
    """Take the one chunk of this kind that can be released."""
    (message,) = [m for m in world.release() if m.kind == kind]
    taken = world.take(message)
    assert taken
    return taken


def cancel(world: World, job: UUID) -> None:
    with world.scope("acme") as c:
        control.cancel(c, job)


def verdicts(world: World, job: UUID) -> dict[int, tuple[str, str]]:
    rows = world.rows("SELECT item_no, verdict, code FROM job_results WHERE job_id = :j", j=job)
    return {int(str(r["item_no"])): (str(r["verdict"]), str(r["code"])) for r in rows}


def kinds(messages: list[Released]) -> list[str]:
    return sorted(m.kind for m in messages)


def test_a_cancelled_job_does_not_go_on_to_verify(acme: World) -> None:
    """Cancelled while its last lead is asked: the worker says `done`, for it has not heard."""
    job = submit(acme)
    lease, _ = take(acme, "enrich")
    cancel(acme, job)
    find(acme, lease, 1)
    acme.record(lease, [answer(2, "not_found")])
    assert acme.finish(lease, "done")
    assert acme.release() == []
    assert acme.rows("SELECT status FROM chunks") == [{"status": "cancelled"}]
    assert verdicts(acme, job) == {1: ("found", "not_verified"), 2: ("not_found", "ok")}
    totals_agree(acme, job)


def test_what_was_found_before_a_cancel_is_a_result(acme: World) -> None:
    job = submit(acme)
    lease, _ = take(acme, "enrich")
    find(acme, lease, 1)
    with acme.scope("acme") as c:
        c.execute(
            text("INSERT INTO job_duplicates (job_id, item_no, duplicate_of) VALUES (:j, 2, 1)"),
            {"j": job},
        )
    assert acme.finish(lease)
    cancel(acme, job)
    assert verdicts(acme, job) == {1: ("found", "not_verified"), 2: ("found", "not_verified")}
    (row,) = acme.rows("SELECT DISTINCT data, provider FROM job_results")
    assert (row["data"], row["provider"]) == (DATA, "apollo")
    totals_agree(acme, job)


def test_a_cancel_leaves_what_is_being_verified_to_its_worker(acme: World) -> None:
    job = submit(acme)
    lease, _ = take(acme, "enrich")
    find(acme, lease, 1, 2)
    acme.finish(lease)
    lease, items = take(acme, "verify")
    cancel(acme, job)
    assert verdicts(acme, job) == {}
    acme.record(lease, [answer(items[0])])
    acme.finish(lease, "cancelled")
    assert verdicts(acme, job) == {1: ("valid", "ok"), 2: ("found", "not_verified")}
    totals_agree(acme, job)


def both_to_be_tried_again(world: World) -> UUID:
    """A job whose find could not be verified and whose other lead could not be asked about, tried again."""
    job = submit(world, max_retries=0)
    lease, _ = take(world, "enrich")
    find(world, lease, 1)
    world.record(lease, [answer(2, "unknown", failure=True)])
    world.finish(lease)
    lease, items = take(world, "verify")
    assert items == [1]
    world.record(lease, [answer(1, "unknown", failure=True)])
    world.finish(lease)
    assert world.job(job)["status"] == "dead_letter"
    with world.scope("acme") as c:
        assert control.retry_failed(c, job) == 2
    return job


def test_a_retry_verifies_each_find_once(acme: World) -> None:
    job = both_to_be_tried_again(acme)
    messages = acme.release()
    assert kinds(messages) == ["enrich", "verify"]
    (first,) = [m for m in messages if m.kind == "enrich"]
    taken = acme.take(first)
    assert taken
    find(acme, taken[0], 2)
    acme.finish(taken[0])
    assert acme.release() == [], "the chunk that is open takes both"
    (second,) = [m for m in messages if m.kind == "verify"]
    taken = acme.take(second)
    assert taken
    assert taken[1] == [1, 2]
    acme.record(taken[0], [answer(1), answer(2)])
    acme.finish(taken[0])
    assert acme.job(job)["status"] == "completed"
    totals_agree(acme, job)


def test_what_is_found_while_the_others_are_verified_is_verified_next(acme: World) -> None:
    job = both_to_be_tried_again(acme)
    messages = {m.kind: m for m in acme.release()}
    verifying, finding = acme.take(messages["verify"]), acme.take(messages["enrich"])
    assert verifying
    assert finding
    find(acme, finding[0], 2)
    acme.finish(finding[0])
    assert acme.release() == []
    acme.record(verifying[0], [answer(1)])
    acme.finish(verifying[0])
    lease, items = take(acme, "verify")
    assert items == [2]
    acme.record(lease, [answer(2)])
    acme.finish(lease)
    assert acme.job(job)["status"] == "completed"
    totals_agree(acme, job)


def test_the_second_stage_has_the_priority_that_the_job_has_now(acme: World) -> None:
    job = submit(acme)
    lease, _ = take(acme, "enrich")
    find(acme, lease, 1)
    with acme.scope("acme") as c:
        control.edit(c, job, {"priority": 1})
    acme.finish(lease)
    assert acme.rows("SELECT priority FROM chunks WHERE kind = 'verify'") == [{"priority": 1}]


def die(world: World, kind: str) -> None:
    """Let a chunk's worker die until the chunk is dead."""
    for _ in range(2):
        lease, _ = take(world, kind)
        world.expire(lease.chunk_id)
        world.recover(2)
        world.make_due()


def test_a_look_up_that_dies_has_its_finds_verified_and_answers_the_others(acme: World) -> None:
    job = submit(acme)
    lease, _ = take(acme, "enrich")
    find(acme, lease, 1)
    acme.put_back(lease)
    die(acme, "enrich")
    assert verdicts(acme, job) == {2: ("unknown", "dead")}
    _, items = take(acme, "verify")
    assert items == [1]


def test_a_verification_that_dies_answers_its_finds_and_keeps_them(acme: World) -> None:
    job = submit(acme, 3)
    lease, _ = take(acme, "enrich")
    find(acme, lease, 1)
    acme.finish(lease)
    die(acme, "verify")
    assert verdicts(acme, job) == {1: ("unknown", "dead")}
    assert acme.rows("SELECT data FROM job_results") == [{"data": DATA}]
    assert acme.release() == []
    totals_agree(acme, job)


def test_who_finds_is_no_poison_and_gets_on(acme: World) -> None:
    submit(acme)
    lease, _ = take(acme, "enrich")
    assert acme.rows("SELECT attempts, progress_at FROM chunks") == [
        {"attempts": 1, "progress_at": None}
    ]
    find(acme, lease, 1)
    (row,) = acme.rows("SELECT attempts, progress_at FROM chunks")
    assert row["attempts"] == 0
    assert isinstance(row["progress_at"], datetime)


def _two(world: World) -> tuple[UUID, list[Released]]:
    job = submit(world, 4, size=2)
    messages = world.release()
    assert len(messages) == 2
    return job, messages


def test_two_chunks_put_back_together_leave_the_job_waiting(acme: World) -> None:
    """Two transactions at a time: neither sees the other's chunk at rest before it asks for the job."""
    job, messages = _two(acme)
    leases = [taken[0] for m in messages if (taken := acme.take(m))]
    later = datetime.now(UTC) + timedelta(hours=20)

    def put_back_second() -> None:
        with acme.scope("acme") as c:
            assert ledger.put_back(c, leases[1], later, {}, "daily_quota")

    thread = threading.Thread(target=put_back_second)
    with acme.scope("acme") as c:
        assert ledger.put_back(c, leases[0], later, {}, "daily_quota")
        thread.start()
        wait_for_lock(acme)
    thread.join()
    assert acme.job(job)["status"] == "waiting"


def test_a_job_with_a_running_chunk_does_not_say_that_it_waits(acme: World) -> None:
    job, (first, second) = _two(acme)
    taken = acme.take(first)
    assert taken
    lease = taken[0]
    thread = threading.Thread(target=acme.take, args=(second,))
    with acme.scope("acme") as c:
        assert ledger.put_back(c, lease, datetime.now(UTC) + timedelta(hours=20), {}, "daily_quota")
        thread.start()
        wait_for_lock(acme)
    thread.join()
    assert acme.job(job)["status"] == "processing"


def wait_for_lock(world: World) -> None:
    """Return when another session waits for a lock that this test holds."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if world.rows("SELECT 1 AS x FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


def test_a_chunk_of_a_held_lane_makes_its_job_wait(acme: World) -> None:
    job = acme.submit("acme", 2)
    acme.rows("UPDATE jobs SET max_retries = 2 WHERE id = :j RETURNING id", j=job)
    lease, _ = take(acme, "verify")
    with acme.scope("acme") as c:
        until = datetime.now(UTC) + timedelta(hours=1)
        assert ledger.hold_lane(
            c, lease, until, "daily_quota", noticed_at=datetime.now(UTC) + timedelta(seconds=9)
        )
        assert ledger.put_back(c, lease, lease.run_at)
    assert acme.job(job)["status"] == "waiting"


def test_chunks_that_would_find_the_same_are_put_off_with_the_first(acme: World) -> None:
    submit(acme, 4, size=2)
    taken = acme.take(acme.release(1)[0])
    assert taken
    with acme.scope("acme") as c:
        later = datetime.now(UTC) + timedelta(hours=20)
        assert ledger.put_back(c, taken[0], later, {}, "daily_quota")
    rows = acme.rows("SELECT DISTINCT waits_for, run_at FROM chunks")
    assert rows == [{"waits_for": "daily_quota", "run_at": later}]
    assert acme.release() == []


def test_one_try_more_than_retries_and_a_dead_letter_only_when_nothing_was_had(
    acme: World,
) -> None:
    job = submit(acme)
    lease, _ = take(acme, "enrich")
    assert lease.max_attempts == 3
    acme.record(lease, [answer(1), answer(2, "unknown", failure=True)])
    acme.finish(lease)
    assert acme.job(job)["status"] == "completed"
