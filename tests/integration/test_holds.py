"""Holds: what ends them, and what may not begin one."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from app.jobs import lease as ledger
from app.jobs.lease import Lease
from tests.integration.ledger_world import World

SHARED, OWN = "verification-queue", "verification-queue:client-acme"
MIDNIGHT = timedelta(hours=9)
KEY = """INSERT INTO api_keys (tenant_id, fingerprint, secret_encrypted, hint)
         SELECT id, 'f', 'x', 'hint' FROM tenants WHERE slug = 'acme'"""
ROUTE = """INSERT INTO worker_configs (user_id, worker_mode, verification_queue)
           SELECT u.id, 'dedicated', 'verification-queue:client-acme'
           FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE t.slug = 'acme'"""
BACK = "UPDATE worker_configs SET is_active = false"


@pytest.fixture
def acme(world: World) -> World:
    """A client with two lists, and a worker on both lanes."""
    world.add_tenant("acme")
    world.add_user("acme", "acme@example.com")
    for queue in (SHARED, OWN):
        world.attend(queue, 8)
    world.submit("acme", 10)
    return world


def run(world: World, sql: str) -> None:
    with world.owner.begin() as c:
        c.execute(text(sql))


def begin(world: World) -> Lease:
    taken = world.take(world.release()[0])
    assert taken is not None
    return taken[0]


def give_back(world: World, lease: Lease, *, noticed_at: datetime | None = None) -> bool:
    """End a run whose keys are spent, as a worker does; tell whether the lane is held."""
    now = datetime.now(UTC)
    with world.scope("acme") as c:
        held = ledger.hold_lane(
            c, lease, now + MIDNIGHT, "daily_quota", noticed_at=noticed_at or now
        )
        assert ledger.put_back(c, lease, lease.run_at)
    return held


def route(world: World) -> None:
    run(world, ROUTE)


def roll_back(world: World) -> None:
    run(world, BACK)


def add_key(world: World) -> None:
    run(world, KEY)


def add_platform_key(world: World) -> None:
    run(world, KEY.replace("SELECT id,", "SELECT NULL::uuid,"))


def choose_platform(world: World) -> None:
    run(world, "UPDATE tenants SET key_policy = 'platform'")


CHANGES = [route, add_key, add_platform_key, choose_platform]


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_begun_goes_on_as_soon_as_the_hold_is_lifted(
    acme: World, change: Callable[[World], None]
) -> None:
    lease = begin(acme)
    assert give_back(acme, lease)
    assert acme.release() == []
    change(acme)
    assert [chunk.chunk_id for chunk in acme.release()] == [lease.chunk_id]


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_noticed_before_a_change_holds_nothing(
    acme: World, change: Callable[[World], None]
) -> None:
    lease, noticed_at = begin(acme), datetime.now(UTC)
    acme.submit("acme", 10)
    change(acme)
    assert not give_back(acme, lease, noticed_at=noticed_at)
    assert len(acme.release()) == 2


def test_a_run_on_the_lane_that_was_left_holds_nothing_on_the_new_one(acme: World) -> None:
    """Also when it notices long after the change: its keys were the other lane's."""
    route(acme)
    lease = begin(acme)
    assert lease
    roll_back(acme)
    assert not give_back(acme, lease, noticed_at=datetime.now(UTC) + timedelta(minutes=1))
    assert {chunk.queue for chunk in acme.release()} == {SHARED}


def test_a_worker_that_came_with_keys_of_its_own_is_not_held_back(acme: World) -> None:
    route(acme)
    lease, noticed_at = begin(acme), datetime.now(UTC)
    run(acme, f"UPDATE workers SET environment_keys = '[{{}}]' WHERE '{OWN}' = ANY (queues)")
    run(acme, "UPDATE workers SET started_at = clock_timestamp()")
    assert not give_back(acme, lease, noticed_at=noticed_at)


def test_an_edited_key_lifts_the_hold_of_its_client_and_of_no_other(acme: World) -> None:
    assert give_back(acme, begin(acme))
    acme.add_tenant("birch")
    acme.submit("birch", 10)
    taken = acme.take(acme.release()[0])
    assert taken is not None
    with acme.scope("birch") as c:
        now = datetime.now(UTC)
        assert ledger.hold_lane(c, taken[0], now + MIDNIGHT, "daily_quota", noticed_at=now)
        ledger.put_back(c, taken[0], taken[0].run_at)
    assert acme.release() == []
    add_key(acme)
    assert {chunk.tenant_slug for chunk in acme.release()} == {"acme"}


def test_a_lost_lease_holds_nothing(acme: World) -> None:
    lease = begin(acme)
    acme.expire(lease.chunk_id)
    acme.recover()
    with acme.scope("acme") as c:
        now = datetime.now(UTC)
        assert not ledger.hold_lane(c, lease, now + MIDNIGHT, "daily_quota", noticed_at=now)
    assert acme.rows("SELECT * FROM lane_holds") == []


def test_nobody_holds_another_clients_lane(acme: World) -> None:
    lease = begin(acme)
    acme.add_tenant("birch")
    with acme.scope("birch") as c:
        now = datetime.now(UTC)
        assert not ledger.hold_lane(c, lease, now + MIDNIGHT, "daily_quota", noticed_at=now)
    assert acme.rows("SELECT * FROM lane_holds") == []


@pytest.mark.parametrize(
    ("act", "lifts"),
    [
        ("key_was_reset(id, 'closed')", True),
        ("key_tested(id, true, 'valid', 9)", True),
        ("key_tested(id, false, 'provider_unauthorized', 9)", False),
    ],
)
@pytest.mark.parametrize("whose", ["acme", "platform"])
def test_a_key_that_works_again_ends_the_hold_that_it_brought(
    acme: World, act: str, lifts: bool, whose: str
) -> None:
    (add_key if whose == "acme" else add_platform_key)(acme)
    lease = begin(acme)
    with acme.scope("acme") as c:
        now = datetime.now(UTC) + timedelta(seconds=1)
        assert ledger.hold_lane(c, lease, now + MIDNIGHT, "circuit_open", noticed_at=now)
        ledger.put_back(c, lease, lease.run_at)
    assert acme.release() == []
    run(acme, f"SELECT {act} FROM api_keys")
    assert len(acme.release()) == lifts


def test_a_reset_gives_no_spent_day_back(acme: World) -> None:
    add_key(acme)
    lease = begin(acme)
    assert give_back(acme, lease, noticed_at=datetime.now(UTC) + timedelta(seconds=1))
    run(acme, "SELECT key_was_reset(id, 'closed') FROM api_keys")
    assert acme.release() == []


def test_a_hold_that_goes_on_for_the_same_reason_keeps_its_beginning(acme: World) -> None:
    add_key(acme)

    def hold(reason: str) -> object:
        run(acme, "UPDATE lane_holds SET until = now() - interval '2 seconds'")
        lease = begin(acme)
        now = datetime.now(UTC) + timedelta(seconds=1)
        with acme.scope("acme") as c:
            assert ledger.hold_lane(c, lease, now + MIDNIGHT, reason, noticed_at=now)
            ledger.put_back(c, lease, lease.run_at)
        return acme.rows("SELECT created_at FROM lane_holds")[0]["created_at"]

    first = hold("circuit_open")
    assert hold("circuit_open") == first
    second = hold("daily_quota")
    assert second != first
    run(acme, "UPDATE lane_holds SET created_at = now() - interval '1 hour'")
    run(acme, "UPDATE lane_holds SET until = now() - interval '5 minutes'")
    lease = begin(acme)
    now = datetime.now(UTC) + timedelta(seconds=1)
    with acme.scope("acme") as c:
        assert ledger.hold_lane(c, lease, now + MIDNIGHT, "daily_quota", noticed_at=now)
    old = acme.rows("SELECT created_at < now() - interval '1 minute' AS old FROM lane_holds")
    assert not old[0]["old"], "between the two it was free"
