"""A record that is a transaction of its own, the indexes that it leaves alone, and the connections that it goes through."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from app.db import engine as engines
from app.jobs import records
from app.jobs.lease import Lease
from routing import queues
from tests.integration.ledger_world import World, answer, totals_agree


def lease_of(world: World, slug: str, rows: int = 10) -> Lease:
    world.add_tenant(slug)
    world.attend(queues.VERIFICATION, 100)
    world.submit(slug, rows, size=rows)
    (chunk,) = world.release()
    taken = world.take(chunk)
    assert taken is not None
    return taken[0]


def test_it_writes_what_a_record_writes_and_leaves_no_client_behind(world: World) -> None:
    lease = lease_of(world, "acme")
    answers = [answer(1), answer(2, "invalid"), answer(3, "unknown", failure=True)]
    told = records.record_alone(
        lease, answers, seconds=60, retries={4: (1, 0.0, "busy")}, engine=world.app
    )
    assert told == records.Recorded(held=True, cancel=False, recorded=3)
    again = records.record_alone(lease, answers[:2], seconds=60, engine=world.app)
    assert again == records.Recorded(held=True, cancel=False, recorded=0), "each row once"
    (chunk,) = world.rows("SELECT done_items, failed_items, counts, retries FROM chunks")
    assert chunk == {
        "done_items": 3,
        "failed_items": 1,
        "counts": {"valid": 1, "invalid": 1, "unknown": 1},
        "retries": {"4": [1, 0.0, "busy"]},
    }
    totals_agree(world, lease.job_id)
    for _ in range(3):
        with world.app.begin() as c:
            assert c.execute(text("SELECT laneway_tenant()")).scalar_one() is None
            assert c.execute(text("SELECT count(*) FROM chunks")).scalar_one() == 0


def test_another_clients_chunk_and_another_fence_get_nothing(world: World) -> None:
    lease, other = lease_of(world, "acme"), lease_of(world, "birch")
    strange = replace(lease, chunk_id=other.chunk_id, fence=other.fence, job_id=other.job_id)
    stale = replace(lease, fence=lease.fence + 1)
    for each in (strange, stale):
        told = records.record_alone(each, [answer(1)], seconds=60, engine=world.app)
        assert not told.held
    assert world.rows("SELECT 1 FROM job_results") == []


def test_a_running_chunk_is_written_without_a_new_entry_in_any_index(world: World) -> None:
    lease = lease_of(world, "acme", rows=40)
    # The first record is the one that says since when there is progress.
    records.record_alone(lease, [answer(1)], seconds=60, engine=world.app)
    hot, updated = written(world)
    for n in range(2, 32):
        records.record_alone(lease, [answer(n)], seconds=60, engine=world.app)
    hot, updated = (
        after - before for after, before in zip(written(world), (hot, updated), strict=True)
    )
    assert updated == 30
    # Where the page was full, the row moved.
    assert hot >= 25


def written(world: World) -> tuple[int, int]:
    """Rows of chunks that were written within their page, and all that were."""
    with world.app.connect() as c:
        c.execute(text("SELECT pg_stat_force_next_flush()"))
        c.commit()
    (row,) = world.rows(
        "SELECT n_tup_hot_upd AS hot, n_tup_upd AS n FROM pg_stat_user_tables WHERE relname = 'chunks'"
    )
    return int(str(row["hot"])), int(str(row["n"]))


def test_no_plan_finds_a_clients_work_among_what_is_due_for_all(world: World) -> None:
    """Before the first ANALYZE the planner believes that next to nothing is due."""
    of_one = "kind = 'verify' AND tenant_id = '00000000-0000-0000-0000-000000000001'"
    mine = plan(world, f"{of_one} AND run_at <= now() ORDER BY priority LIMIT 1")
    everybodys = plan(world, "kind <> '' AND run_at <= now() ORDER BY run_at LIMIT 64")
    assert "chunks_ready_idx" in mine
    assert "chunks_due_idx" in everybodys


def plan(world: World, rest: str) -> str:
    with world.owner.begin() as c:
        c.exec_driver_sql("SET LOCAL enable_seqscan = off")
        c.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        said = f"EXPLAIN (FORMAT JSON) SELECT id FROM chunks WHERE status = 'ready' AND {rest}"
        return str(c.exec_driver_sql(said).scalar_one())


def end_connections(owner: Engine) -> None:
    with owner.begin() as c:
        c.execute(
            text("""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE application_name = 'laneway' AND pid <> pg_backend_pid()
                      AND datname = current_database()""")
        )


def test_connections_that_ended_while_they_rested_are_noticed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "REST_SECONDS", 0.0)
    lease = lease_of(world, "acme")
    end_connections(world.owner)
    assert records.record_alone(lease, [answer(1)], seconds=60, engine=world.app).recorded == 1


def test_one_that_ended_in_use_fails_once_and_takes_the_others_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "REST_SECONDS", 3600.0)
    lease = lease_of(world, "acme")
    with world.app.connect(), world.app.connect():
        pass
    end_connections(world.owner)
    with pytest.raises(OperationalError):
        records.record_alone(lease, [answer(1)], seconds=60, engine=world.app)
    assert records.record_alone(lease, [answer(1)], seconds=60, engine=world.app).recorded == 1
