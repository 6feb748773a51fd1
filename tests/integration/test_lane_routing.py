"""The onboarding guide's SQL, statement by statement: the very next release goes to the other queue, nothing restarts."""

from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.db.scope import system_scope
from routing.router import TenantRouter
from routing.worker_configs import find_client, load_routes
from tests.integration.ledger_world import World, answer

CLIENT = UUID("a1b2c3d4-e5f6-7890-abcd-ef1234567890")
LANE = "verification-queue:client-acme"

# As the guide has them, with its example's values.
FIND_USER = "SELECT id, email FROM users WHERE email = 'client@example.com';"
ONBOARD = """
INSERT INTO worker_configs (
    user_id,
    worker_mode,
    verification_queue,
    api_key_hint,
    notes,
    is_active
) VALUES (
    'a1b2c3d4-e5f6-7890-abcd-ef1234567890',
    'dedicated',
    'verification-queue:client-acme',
    'x789',
    'ACME Corp - Onboarded 2024-01-15',
    true
);
"""
VERIFY = "SELECT * FROM worker_configs WHERE user_id = 'a1b2c3d4-e5f6-7890-abcd-ef1234567890';"
LIST_ACTIVE = """
SELECT u.email, wc.*
FROM worker_configs wc
JOIN users u ON u.id = wc.user_id
WHERE wc.is_active = true;
"""
CHECK = "SELECT * FROM worker_configs WHERE user_id = 'a1b2c3d4-e5f6-7890-abcd-ef1234567890' AND is_active = true;"
DISABLE = """
UPDATE worker_configs
SET is_active = false
WHERE user_id = 'a1b2c3d4-e5f6-7890-abcd-ef1234567890';
"""
ENABLE = "UPDATE worker_configs SET is_active = true WHERE user_id = 'a1b2c3d4-e5f6-7890-abcd-ef1234567890';"
REMOVE = "DELETE FROM worker_configs WHERE user_id = 'a1b2c3d4-e5f6-7890-abcd-ef1234567890';"


@pytest.fixture
def client(world: World) -> World:
    """A client of the guide's example with a backlog, and a router that has the old routes cached."""
    world.add_tenant("acme")
    world.add_user("acme", "client@example.com", CLIENT)
    world.submit("acme", 200, size=10)
    return world


def run(world: World, sql: str) -> list[dict[str, object]]:
    with world.owner.begin() as c:
        found = c.exec_driver_sql(sql)
        return [dict(row) for row in found.mappings()] if found.returns_rows else []


def lanes_of(world: World, status: str = "released") -> set[object]:
    return {r["queue"] for r in world.rows("SELECT queue FROM chunks WHERE status = :s", s=status)}


def test_the_guides_statements_move_the_next_release(client: World) -> None:
    assert run(client, FIND_USER) == [{"id": CLIENT, "email": "client@example.com"}]
    assert {chunk.queue for chunk in client.release()} == {"verification-queue"}

    run(client, ONBOARD)
    assert run(client, VERIFY)[0]["verification_queue"] == LANE
    assert [row["email"] for row in run(client, LIST_ACTIVE)] == ["client@example.com"]
    assert lanes_of(client) == set(), "what waited on the shared lane is taken back"
    assert {chunk.queue for chunk in client.release()} == {LANE}

    run(client, DISABLE)
    assert run(client, CHECK) == []
    assert {chunk.queue for chunk in client.release()} == {"verification-queue"}

    run(client, ENABLE)
    assert {chunk.queue for chunk in client.release()} == {LANE}

    run(client, REMOVE)
    assert {chunk.queue for chunk in client.release()} == {"verification-queue"}


def test_old_messages_become_no_ops_and_running_chunks_finish(client: World) -> None:
    first, *others = client.release()
    held = client.take(first)
    assert held
    run(client, ONBOARD)
    assert [client.take(message) for message in others] == [None] * len(others)
    lease, items = held
    assert client.record(lease, [answer(no) for no in items]).held
    assert client.finish(lease)


def test_a_change_is_notified_to_the_dispatchers(client: World) -> None:
    listener = client.owner.raw_connection()
    try:
        listener.dbapi_connection.autocommit = True
        listener.cursor().execute("LISTEN laneway_routes")
        run(client, ONBOARD)
        listener.cursor().execute("SELECT 1")
        listener.dbapi_connection.poll()
        notices = [(n.channel, n.payload) for n in listener.dbapi_connection.notifies]
        assert notices == [("laneway_routes", str(client.tenants["acme"]))]
    finally:
        listener.close()


def test_the_router_follows_within_its_time_to_live(client: World) -> None:
    moment = [0.0]

    def load() -> dict[str, str]:
        with system_scope(client.app) as c:
            return load_routes(c)

    router = TenantRouter(load, clock=lambda: moment[0])
    tenant = str(client.tenants["acme"])
    task = "tasks.verification.verify_chunk"
    assert router(task, (), {"tenant_id": tenant}) == {"queue": "verification-queue"}
    run(client, ONBOARD)
    assert router(task, (), {"tenant_id": tenant}) == {"queue": "verification-queue"}
    moment[0] += 1.0
    assert router(task, (), {"tenant_id": tenant}) == {"queue": LANE}


def test_a_dedicated_worker_finds_its_client_by_user_or_tenant(client: World) -> None:
    run(client, ONBOARD)
    with system_scope(client.app) as c:
        by_user, by_tenant = find_client(c, CLIENT), find_client(c, client.tenants["acme"])
        nobody = find_client(c, UUID(int=1))
    assert by_user is not None
    assert (by_user.tenant_slug, by_user.queue) == ("acme", LANE)
    assert by_tenant is not None
    assert by_tenant.queue == LANE
    assert nobody is None


def test_two_active_rows_for_one_user_are_refused(client: World) -> None:
    run(client, ONBOARD)
    with pytest.raises(IntegrityError, match="worker_configs_one_active"):
        run(client, ONBOARD)


def test_a_hold_of_the_old_lane_does_not_hold_the_new_one(client: World) -> None:
    with client.scope("acme") as c:
        c.execute(
            text("""INSERT INTO lane_holds (tenant_id, kind, until, reason)
                    VALUES (laneway_tenant(), 'verify', now() + interval '1 hour', 'daily_quota')""")
        )
    assert client.release() == []
    run(client, ONBOARD)
    assert {chunk.queue for chunk in client.release()} == {LANE}
