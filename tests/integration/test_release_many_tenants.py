"""Release where more tenants wait than a release looks at: who is looked at is chosen by lot, what they get is not."""

from collections import Counter

import pytest
from sqlalchemy import text

from routing import queues
from tests.integration.ledger_world import World, answer

TENANTS = 250
SLOTS = 16


@pytest.fixture
def crowd(world: World) -> World:
    """250 clients with two chunks each, on a shared lane with 32 places: a release looks at 128 of them."""
    for n in range(TENANTS):
        world.add_tenant(f"small-{n}")
    with world.owner.begin() as c:
        c.execute(
            text("""INSERT INTO jobs (id, tenant_id, kind, total_items, chunks_open)
                    SELECT gen_random_uuid(), id, 'email_validation', 0, 2 FROM tenants""")
        )
        c.execute(
            text("""INSERT INTO chunks (job_id, tenant_id, kind, priority)
                    SELECT j.id, j.tenant_id, 'verify', 3 FROM jobs j CROSS JOIN generate_series(1, 2)""")
        )
    world.attend(queues.VERIFICATION, SLOTS)
    return world


def test_each_place_goes_to_another_tenant(crowd: World) -> None:
    assert set(Counter(chunk.tenant_id for chunk in crowd.release()).values()) == {1}


def test_every_tenant_has_its_turn_and_everything_ends(crowd: World) -> None:
    done: Counter[object] = Counter()
    while released := crowd.release():
        for chunk in released:
            taken = crowd.take(chunk)
            assert taken
            crowd.record(taken[0], [answer(no) for no in taken[1]])
            assert crowd.finish(taken[0])
            done[chunk.tenant_id] += 1
    assert len(done) == TENANTS
    assert set(done.values()) == {2}


def test_held_and_full_tenants_do_not_hide_the_others(crowd: World) -> None:
    with crowd.owner.begin() as c:
        c.execute(
            text("""INSERT INTO lane_holds (tenant_id, kind, until, reason)
                    SELECT id, 'verify', now() + interval '1 hour', 'window' FROM tenants WHERE slug <> 'small-7'""")
        )
    assert {chunk.tenant_slug for chunk in crowd.release()} == {"small-7"}


def test_a_lane_of_ones_own_is_always_looked_at(crowd: World) -> None:
    user = crowd.add_user("small-7", "ann@example.com")
    with crowd.owner.begin() as c:
        c.execute(
            text("""INSERT INTO worker_configs (user_id, worker_mode, verification_queue)
                    VALUES (:u, 'dedicated', 'verification-queue:client-seven')"""),
            {"u": user},
        )
    own = [c for c in crowd.release() if c.queue == "verification-queue:client-seven"]
    assert [chunk.tenant_slug for chunk in own] == ["small-7", "small-7"]


def test_a_crowd_on_full_lanes_gets_nothing(crowd: World) -> None:
    crowd.release()
    assert crowd.release() == []


def later(world: World, tenants: int) -> None:
    """Add clients whose one chunk is due tomorrow."""
    with world.owner.begin() as c:
        c.execute(
            text(
                "INSERT INTO tenants (slug, name) SELECT 'later-' || n, 'l' FROM generate_series(1, :n) n"
            ),
            {"n": tenants},
        )
        c.execute(
            text("""INSERT INTO jobs (id, tenant_id, kind, total_items, chunks_open)
                    SELECT gen_random_uuid(), id, 'email_validation', 1, 1 FROM tenants""")
        )
        c.execute(
            text("""INSERT INTO chunks (job_id, tenant_id, kind, priority, first_item, last_item, run_at)
                    SELECT id, tenant_id, 'verify', 3, 1, 1, now() + interval '1 day' FROM jobs""")
        )


def test_due_work_is_found_at_once_among_clients_whose_work_is_for_later(world: World) -> None:
    later(world, 1500)
    world.add_tenant("now")
    job = world.submit("now", 1)
    world.attend(queues.VERIFICATION, 8)
    for _ in range(8):
        assert [chunk.job_id for chunk in world.release()] == [job]
        world.rows(
            "UPDATE chunks SET status = 'ready', queue = NULL, fence = fence + 1 WHERE job_id = :j RETURNING id",
            j=job,
        )
