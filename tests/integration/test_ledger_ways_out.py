"""States that look like waiting but would have lasted for ever: each has a way out that needs nobody."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import text

from app.jobs.submit import create_job
from tests.integration.ledger_world import World

READY = [{"status": "ready", "queue": None}]


def route(world: World, slug: str, queue: str) -> UUID:
    """Give a client a lane of its own; return the user whose row says so."""
    user = world.add_user(slug, f"{slug}@example.com")
    with world.owner.begin() as c:
        c.execute(
            text("""INSERT INTO worker_configs (user_id, worker_mode, verification_queue)
                    VALUES (:u, 'dedicated', :q)"""),
            {"u": user, "q": queue},
        )
    return user


@contextmanager
def release_under_way(world: World) -> Iterator[None]:
    """Hold a release open between its statement and its commit."""
    with world.app.begin() as c:
        assert c.execute(text("SELECT * FROM ledger_release(10, 4, 15)")).all()
        yield


def test_a_release_that_a_change_of_lane_overtook_does_not_stay_on_the_old_one(
    world: World,
) -> None:
    world.add_tenant("acme")
    route(world, "acme", "verification-queue:client-old")
    world.submit("acme", 10)
    with release_under_way(world), world.owner.begin() as c:
        c.execute(
            text("UPDATE worker_configs SET verification_queue = 'verification-queue:client-new'")
        )
    world.recover()
    assert world.rows("SELECT status, queue FROM chunks") == READY
    assert [r.queue for r in world.release()] == ["verification-queue:client-new"]


def test_work_on_the_lane_of_a_person_who_was_removed_goes_to_the_shared_one(world: World) -> None:
    world.add_tenant("acme")
    route(world, "acme", "verification-queue:client-old")
    world.submit("acme", 10)
    assert world.release()
    with world.owner.begin() as c:
        c.execute(text("DELETE FROM users"))
    world.recover()
    assert [r.queue for r in world.release()] == ["verification-queue"]


def test_what_lies_on_its_own_lane_is_left_there(world: World) -> None:
    world.add_tenant("acme")
    world.add_tenant("other")
    route(world, "acme", "verification-queue:client-acme")
    world.submit("acme", 10)
    world.submit("other", 10)
    assert len(world.release()) == 2
    world.recover()
    assert world.rows("SELECT DISTINCT status, fence FROM chunks") == [
        {"status": "released", "fence": 0}
    ]


@pytest.fixture
def suspects(world: World) -> World:
    """Two clients, each with a chunk whose worker died twice; the first client's is the elder."""
    for slug, rows in (("first", 100), ("second", 10)):
        world.add_tenant(slug)
        world.submit(slug, rows)
    with world.owner.begin() as c:
        c.execute(text("UPDATE chunks SET run_at = now() - interval '1 h'"))
        c.execute(
            text("""UPDATE chunks SET attempts = 2, run_at = now() - CASE WHEN tenant_id = :t
                    THEN interval '2 min' ELSE interval '1 min' END
                    WHERE id IN (SELECT min(id) FROM chunks GROUP BY tenant_id)"""),
            {"t": world.tenants["first"]},
        )
    return world


def due(world: World, slug: str) -> bool:
    [row] = world.rows(
        "SELECT run_at <= clock_timestamp() AS due FROM chunks WHERE tenant_id = :t AND attempts = 2",
        t=world.tenants[slug],
    )
    return bool(row["due"])


def test_a_suspect_behind_its_own_clients_backlog_does_not_keep_another_client_waiting(
    suspects: World,
) -> None:
    suspects.recover()
    assert (due(suspects, "first"), due(suspects, "second")) == (False, True)


def test_a_suspect_of_a_held_client_does_not_keep_another_client_waiting(suspects: World) -> None:
    with suspects.owner.begin() as c:
        c.execute(text("DELETE FROM chunks WHERE attempts < 2"))
        c.execute(
            text("""INSERT INTO lane_holds (tenant_id, kind, until, reason)
                    VALUES (:t, 'verify', now() + interval '9 h', 'daily_quota')"""),
            {"t": suspects.tenants["first"]},
        )
    suspects.recover()
    assert due(suspects, "second")


def test_of_suspects_that_could_all_run_only_the_elder_is_due(suspects: World) -> None:
    with suspects.owner.begin() as c:
        c.execute(text("DELETE FROM chunks WHERE attempts < 2"))
    suspects.recover()
    assert (due(suspects, "first"), due(suspects, "second")) == (True, False)


def test_recovery_goes_on_whatever_the_attempts_have_come_to(world: World) -> None:
    world.add_tenant("acme")
    world.submit("acme", 10)
    taken = world.take(world.release()[0])
    assert taken
    with world.owner.begin() as c:
        c.execute(text("UPDATE chunks SET attempts = 200"))
    world.expire(taken[0].chunk_id)
    assert [chunk.status for chunk in world.recover(1000)] == ["ready"]
    [row] = world.rows("SELECT run_at < now() + interval '5 min' AS soon FROM chunks")
    assert row["soon"]


def test_a_month_that_began_without_its_partition_gets_it_with_its_rows(world: World) -> None:
    world.add_tenant("acme")
    [moments] = world.rows("""SELECT uuid7_floor('2031-05-31 23:59:59.999Z') AS last,
        uuid7_floor('2031-06-01 00:00:00Z') AS first""")
    job, later = UUID(str(moments["last"])), UUID(str(moments["first"]))
    with world.scope("acme") as c:
        for each in (job, later):
            create_job(c, kind="email_validation", title="t", params={}, job_id=each)
            leaf = c.execute(text("SELECT items_partition(:j)"), {"j": each}).scalar_one()
            assert leaf == "job_items_default"
            c.execute(
                text("""INSERT INTO job_items_default (job_id, item_no, line_no, email)
                        VALUES (:j, 1, 1, 'a@example.com')"""),
                {"j": each},
            )
            c.execute(
                text("""INSERT INTO job_results (job_id, item_no, verdict, checked_at)
                        VALUES (:j, 1, 'valid', now())"""),
                {"j": each},
            )
    with world.owner.begin() as c:
        assert c.execute(text("SELECT make_partitions('2031-05-20', 2)")).scalar_one() == 2
        assert c.execute(text("SELECT make_partitions('2031-05-20', 2)")).scalar_one() == 0
    for table in ("job_items", "job_results"):
        found = world.rows(f"SELECT tableoid::regclass::text AS leaf FROM {table} ORDER BY job_id")
        assert [row["leaf"] for row in found] == [f"{table}_2031_05", f"{table}_2031_06"]
    with world.scope("acme") as c:
        assert c.execute(text("SELECT count(*) FROM job_items")).scalar_one() == 2
        assert c.execute(text("SELECT items_partition(:j)"), {"j": job}).scalar_one() == (
            "job_items_2031_05"
        )
