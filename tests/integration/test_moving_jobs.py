"""Which jobs have recorded rows lately, and that nobody reads all chunks there ever were to find out."""

from sqlalchemy import text

from app.jobs import queries
from tests.integration.ledger_world import World, answer
from tests.integration.test_records_alone import lease_of


def test_jobs_are_found_while_rows_are_recorded_by_their_own_client_only(world: World) -> None:
    moving, other = lease_of(world, "acme"), lease_of(world, "birch")
    world.record(moving, [answer(1)])
    with world.owner.begin() as c:
        # The stretch of ten seconds began nine seconds ago, and the last record was just now.
        c.execute(text("UPDATE chunks SET mark_at = mark_at - interval '9 s'"))
    with world.scope("acme") as c:
        assert queries.moving_jobs(c, seconds=5, limit=10) == [moving.job_id]
    world.record(other, [answer(1)])
    with world.owner.begin() as c:
        c.execute(text("UPDATE chunks SET progress_at = progress_at - interval '6 s'"))
    for slug in ("acme", "birch"):
        with world.scope(slug) as c:
            assert queries.moving_jobs(c, seconds=5, limit=10) == []


def test_the_moment_bounds_the_index(world: World) -> None:
    world.add_tenant("acme")
    with world.scope("acme") as c:
        c.exec_driver_sql("SET LOCAL enable_seqscan = off")
        rows = c.execute(text(f"EXPLAIN {queries._MOVING.text}"), {"seconds": 5, "n": 10})
        plan = "\n".join(rows.scalars())
    assert "chunks_mark_idx" in plan
    assert "Index Cond: (mark_at >" in plan
