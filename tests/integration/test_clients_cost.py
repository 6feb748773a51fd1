"""What is asked about one client reads one client, however many there are: counted in rows, as PostgreSQL counts them."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from app.clients.clients import get_client, list_clients
from app.clients.keys import client_keys, key_facts, serving_keys
from app.db.engine import owner_engine
from app.db.scope import system_scope
from app.jobs.provider_keys import find_key, key_overview
from tests.conftest import Environment
from tests.factories import owner_sql

MANY = 600
#: More than one client's rows with everything that is looked up for them; far less than MANY.
FEW = 60
READ = text("SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables")
#: Each client has a person with a lane, a key, and rows done on its lane within the hour.
CLIENTS = f"""
    INSERT INTO tenants (slug, name) SELECT 'c-' || n, 'Client ' || n FROM generate_series(1000, {999 + MANY}) n;
    INSERT INTO users (tenant_id, email, role, password_hash)
        SELECT id, slug || '@example.com', 'admin', 'x' FROM tenants;
    INSERT INTO worker_configs (user_id, worker_mode, verification_queue)
        SELECT u.id, 'dedicated', 'verification-queue:client-' || t.slug FROM users u JOIN tenants t ON t.id = u.tenant_id;
    INSERT INTO api_keys (tenant_id, fingerprint, secret_encrypted, hint)
        SELECT id, slug, '\\x00'::bytea, right(slug, 4) FROM tenants UNION ALL SELECT NULL, 'platform', '\\x00', 'form';
    INSERT INTO lane_usage (minute, queue, tenant_id, rows)
        SELECT now(), 'verification-queue:client-' || slug, id, 5 FROM tenants;
    ANALYZE;
"""


@pytest.fixture(scope="module")
def many(module_environment: Environment) -> Any:
    """Many clients; the id of one's key."""
    with owner_engine().begin() as connection:
        connection.exec_driver_sql(CLIENTS)
    return owner_sql("SELECT id FROM api_keys WHERE fingerprint = 'c-1234'")


def read_by(act: Callable[[Connection], Any]) -> int:
    with system_scope() as connection:
        before = connection.execute(READ).scalar_one()
        assert act(connection)
        return int(connection.execute(READ).scalar_one() - before)


def test_a_client_is_shown_at_its_own_cost(many: Any) -> None:
    for name in ("c-1234", "C-1234@example.com"):
        assert read_by(lambda c, name=name: get_client(c, name, 15)) < FEW  # type: ignore[misc]
    with system_scope() as connection:
        client = get_client(connection, "c-1234", 15)
    assert (client.keys, client.rows_last_hour, client.is_dedicated) == (1, 5, True)


def test_its_keys_are_read_and_no_others(many: Any) -> None:
    with system_scope() as connection:
        client = get_client(connection, "c-1234", 15)
    for act in (
        lambda c: client_keys(c, client),
        lambda c: serving_keys(c, client),
        lambda c: key_facts(c, many),
        lambda c: key_overview(c, None, client.id),
        lambda c: find_key(c, None, many),
    ):
        assert read_by(act) < FEW
    with system_scope() as connection:
        assert [key.hint for key in client_keys(connection, client)] == ["1234"]
        assert len(key_overview(connection, None)) == MANY + 1


def test_keys_of_the_platform_stand_in_where_a_client_has_none(many: Any) -> None:
    off = "UPDATE api_keys SET is_enabled = :on WHERE id = :key"
    owner_sql(off, {"on": False, "key": many})
    try:
        with system_scope() as connection:
            client = get_client(connection, "c-1234", 15)
            assert [key.hint for key in serving_keys(connection, client)] == ["form"]
        assert read_by(lambda c: serving_keys(c, client)) < FEW
    finally:
        owner_sql(off, {"on": True, "key": many})


def test_a_page_of_the_list_costs_a_page(many: Any) -> None:
    assert read_by(lambda c: list_clients(c, 15, limit=5)) < 5 * FEW
    assert read_by(lambda c: list_clients(c, 15, after="c-1300", limit=5)) < 5 * FEW
    with system_scope() as connection:
        assert len(list_clients(connection, 15)) == MANY
