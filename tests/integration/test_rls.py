"""Tenants are kept apart by the database itself: whatever a query forgets, and whatever the role tries."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from sqlalchemy import Engine, text

from app.db.engine import make_engine
from app.db.scope import system_scope, tenant_scope
from app.webhooks.client_secret import ensure_secret
from app.webhooks.endpoints import add_endpoint, send_test
from app.webhooks.keeping import spread
from tests.factories import (
    Person,
    Tenant,
    lease_chunk,
    make_job,
    make_lane,
    make_person,
    make_tenant,
    owner_sql,
    record,
)

#: Every table that a policy of ours guards, as the database knows them: a new table can't be forgotten.
GUARDED = "SELECT DISTINCT tablename FROM pg_policies WHERE schemaname = 'public' ORDER BY 1"
#: Every table with a column that says whose a row is, and the tables of the tenants themselves.
TENANTS_OWN = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""


@pytest.fixture(scope="module")
def app(module_environment: dict[str, str]) -> Iterator[Engine]:
    """Logged in as the role itself, as web and workers are in production."""
    engine = make_engine(module_environment["DATABASE_URL"], role="laneway_app")
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def acme(app: Engine) -> Tenant:
    """A client with a row in every guarded table."""
    tenant = make_tenant("acme")
    person = make_person(tenant)
    make_lane(person, "verification-queue:client-acme")
    job = make_job(tenant, 4, duplicates={4: 1}, bad_rows=[(9, "no address")], created_by=person)
    record(tenant, lease_chunk(tenant, job), {1: "valid"})
    values = {"t": tenant.id, "j": job}
    owner_sql(
        "INSERT INTO api_keys (tenant_id, fingerprint, secret_encrypted, hint) VALUES (:t, 'f', 'x', 'last')",
        values,
    )
    owner_sql(
        "INSERT INTO idempotency_keys (tenant_id, route, key, job_id) VALUES (:t, 'r', 'k', :j)",
        values,
    )
    owner_sql(
        "INSERT INTO lane_holds (tenant_id, kind, until, reason) VALUES (:t, 'verify', now() + interval '1 day', 'x')",
        values,
    )
    # From a lane that it has no more, so that its own stays in force.
    owner_sql("INSERT INTO lane_fallbacks (tenant_id, queue) VALUES (:t, 'before')", values)
    owner_sql("INSERT INTO lane_attendance (queue) VALUES ('verification-queue:client-acme')")
    owner_sql(
        "INSERT INTO lane_usage (minute, queue, tenant_id, rows) VALUES (now(), 'verification-queue', :t, 1)",
        values,
    )
    owner_sql(
        """INSERT INTO lookup_attempts (tenant_id, job_id, item_no, provider, outcome, at)
           VALUES (:t, :j, 1, 'hunter', 'miss', now())""",
        values,
    )
    owner_sql(
        """INSERT INTO lookup_cache (tenant_id, provider, identity, findings, found_at, expires_at)
           VALUES (:t, 'hunter', 'x', '{}', now(), now() + interval '1 day')""",
        values,
    )
    owner_sql(
        """INSERT INTO lookup_claims (tenant_id, identity, provider, chunk_id, fence)
           VALUES (:t, 'x', 'hunter', 1, 0)""",
        values,
    )
    owner_sql(
        "INSERT INTO call_figures (tenant_id, minute, provider) VALUES (:t, now(), 'hunter')",
        values,
    )
    owner_sql("INSERT INTO call_took VALUES (:t, now(), 'hunter', 1, 1)", values)
    owner_sql("INSERT INTO job_took VALUES (:t, now(), 'email_validation', 99, 1, 1)", values)
    owner_sql(
        """INSERT INTO api_tokens (tenant_id, user_id, name, hash, hint, scopes)
           VALUES (:t, :u, 'x', sha256(CAST(:t AS text)::bytea), 'last', '{jobs:read}')""",
        {**values, "u": person.id},
    )
    owner_sql(
        "INSERT INTO lookup_finds (tenant_id, job_id, item_no, email, data) VALUES (:t, :j, 1, 'a@b.c', '{}')",
        values,
    )
    owner_sql(
        """INSERT INTO lookup_waits (request, tenant_id, job_id, item_no, provider, name, identity, lookup, findings, deadline)
           VALUES (gen_random_uuid(), :t, :j, 1, 'apollo', 'n', 'x', '{}', '{}', now())""",
        values,
    )
    owner_sql(
        """INSERT INTO lookup_events (tenant_id, provider, sender_key, state) VALUES (:t, 'apollo', 'x', 'unknown'),
           (NULL, 'apollo', 'nobodys', 'unknown')""",
        values,
    )
    with tenant_scope(tenant.id) as c:
        endpoint, _ = add_endpoint(c, url="https://example.com/hook", events=["job.completed"])
        ensure_secret(c)
        send_test(c, endpoint)
    with system_scope() as c:
        spread(c)
    owner_sql(
        """INSERT INTO webhook_attempts (tenant_id, delivery_id, number, at, url, headers, ms)
           SELECT tenant_id, id, 1, now(), 'u', '{}', 1 FROM webhook_deliveries"""
    )
    return tenant


@pytest.fixture(scope="module")
def eve(app: Engine) -> Tenant:
    return make_tenant("eve")


def tables(query: str) -> list[str]:
    listed = owner_sql(f"SELECT string_agg(x.name, ' ') FROM ({query}) AS x(name)")
    return str(listed).split()


def count(app: Engine, tenant: UUID | None, table: str) -> int:
    scope = system_scope(app) if tenant is None else tenant_scope(tenant, app)
    with scope as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_every_table_of_tenants_is_guarded(acme: Tenant) -> None:
    guarded = tables(GUARDED)
    assert set(tables(TENANTS_OWN)) | {"tenants", "worker_configs", "lane_attendance"} == set(
        guarded
    )
    assert owner_sql(
        "SELECT bool_and(relrowsecurity) FROM pg_class WHERE relname = ANY(:t)", {"t": guarded}
    )


def test_forgetting_where_shows_nothing_of_another(app: Engine, acme: Tenant, eve: Tenant) -> None:
    for table in tables(GUARDED):
        assert count(app, acme.id, table) > 0, f"{table} has no row to hide; give the client one"
        # Eve sees no more than herself.
        assert count(app, eve.id, table) == (1 if table == "tenants" else 0), table
        assert count(app, None, table) == 0, f"{table} shows rows without a tenant"


def test_a_view_hides_what_its_tables_hide(app: Engine, acme: Tenant, eve: Tenant) -> None:
    views = tables("SELECT viewname FROM pg_views WHERE schemaname = 'public'")
    assert "tenant_lanes" in views
    for view in views:
        assert count(app, acme.id, view) == 1
        assert count(app, eve.id, view) == count(app, None, view) == 0


def test_a_row_for_another_cannot_be_written(app: Engine, acme: Tenant, eve: Tenant) -> None:
    statements = {
        "jobs": "INSERT INTO jobs (id, tenant_id, kind) VALUES (gen_random_uuid(), :t, 'x')",
        "lane_holds": "INSERT INTO lane_holds (tenant_id, kind, until, reason) VALUES (:t, 'parse', now(), 'x')",
        "idempotency_keys": "INSERT INTO idempotency_keys (tenant_id, route, key) VALUES (:t, 'r', 'other')",
    }
    for table, statement in statements.items():
        with pytest.raises(Exception, match="row-level security"), tenant_scope(eve.id, app) as c:
            c.execute(text(statement), {"t": acme.id})
        assert count(app, eve.id, table) == 0


def test_rows_of_another_cannot_be_changed(app: Engine, acme: Tenant, eve: Tenant) -> None:
    with tenant_scope(eve.id, app) as c:
        for statement in (
            "UPDATE jobs SET status = 'cancelled'",
            "UPDATE chunks SET status = 'done'",
            "DELETE FROM lane_holds",
            "DELETE FROM idempotency_keys",
        ):
            assert c.execute(text(statement)).rowcount == 0
        job = owner_sql("SELECT id FROM jobs WHERE tenant_id = :t", {"t": acme.id})
        for function in ("ledger_cancel", "ledger_retry"):
            assert not c.execute(text(f"SELECT {function}(:j)"), {"j": job}).scalar_one()
    assert owner_sql("SELECT status FROM jobs WHERE tenant_id = :t", {"t": acme.id}) == "processing"


def test_items_of_another_cannot_be_slipped_in(app: Engine, acme: Tenant, eve: Tenant) -> None:
    """The leaf takes COPY, so it has no policy; the row's tenant is the scope's all the same."""
    job = owner_sql("SELECT id FROM jobs WHERE tenant_id = :t", {"t": acme.id})
    with tenant_scope(eve.id, app) as c:
        leaf = c.execute(text("SELECT items_partition(:j)"), {"j": job}).scalar_one()
        c.execute(
            text(
                f"INSERT INTO {leaf} (job_id, item_no, line_no, email, cells) VALUES (:j, 999, 1, 'e@x', '[]')"
            ),
            {"j": job},
        )
    assert count(app, acme.id, "job_items") == 4
    with pytest.raises(Exception, match="permission denied"), tenant_scope(eve.id, app) as c:
        c.execute(
            text(f"""INSERT INTO {leaf} (job_id, item_no, line_no, email, cells, tenant_id)
                     VALUES (:j, 998, 1, 'e@x', '[]', :t)"""),
            {"j": job, "t": acme.id},
        )


@contextmanager
def logged_in(environment: dict[str, str]) -> Iterator[Any]:
    url = environment["DATABASE_URL"].replace("+psycopg2", "")
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


Try = Callable[[str], str]


@pytest.fixture
def attempt(module_environment: dict[str, str], acme: Tenant, eve: Tenant) -> Try:
    """Run a statement as the role's own login, in Eve's scope; return the error, '' when it went through."""

    def run(statement: str) -> str:
        with logged_in(module_environment) as cursor:
            cursor.execute("SELECT set_config('laneway.tenant_id', %s, false)", (str(eve.id),))
            try:
                cursor.execute(statement)
            except psycopg2.Error as error:
                return str(error)
            return ""

    return run


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "ALTER TABLE jobs DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE jobs OWNER TO laneway_app",
        "ALTER ROLE laneway_app BYPASSRLS",
        "ALTER ROLE laneway_app SUPERUSER",
        "DROP POLICY tenant ON jobs",
        "CREATE POLICY mine ON jobs USING (true)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "CREATE TABLE t (x int)",
        "TRUNCATE jobs",
        "DELETE FROM job_results",
        "SELECT * FROM shared_answers",
        "INSERT INTO shared_answers VALUES ('hunter', 'x', '{}', now(), now())",
        "UPDATE job_results SET verdict = 'valid'",
        "INSERT INTO tenants (slug, name) VALUES ('x', 'x')",
        "INSERT INTO users (tenant_id, email, role, password_hash) VALUES (laneway_tenant(), 'x@x', 'admin', 'x')",
        "INSERT INTO users (email, role, password_hash) VALUES ('x@x', 'operator', 'x')",
        "UPDATE users SET role = 'operator'",
        "UPDATE users SET tenant_id = gen_random_uuid()",
        "UPDATE users SET password_hash = 'x'",
        "SELECT reroute_tenant(gen_random_uuid())",
        "SELECT ledger_bury(1, 'x')",
        "SELECT line_up_suspects()",
        "SELECT lanes_with_ready_work('{x}')",
        "SELECT webhook_lock_chunks('{}')",
        "SELECT webhook_open_chunks('{}')",
        "SELECT webhook_forget(0, 1000000)",
        "SELECT webhook_forget(NULL, 1000000)",
        "SELECT * FROM webhook_progress",
        "DELETE FROM webhook_deliveries",
        "UPDATE webhook_attempts SET answer = ''",
        "INSERT INTO jobs (id, tenant_id, kind, is_system) VALUES (gen_random_uuid(), laneway_tenant(), 'x', true)",
        "SELECT audit('lane.changed', NULL)",
        "INSERT INTO audit_events (actor, action) VALUES ('me', 'x')",
        "UPDATE audit_events SET actor = 'another'",
        "DELETE FROM audit_events",
        "UPDATE tenants SET key_policy = 'platform'",
        "UPDATE worker_configs SET is_active = false",
        "INSERT INTO tenant_routes (tenant_id) VALUES (gen_random_uuid())",
        "DELETE FROM lane_fallbacks",
        "INSERT INTO lane_attendance (queue) VALUES ('x')",
        "INSERT INTO lane_usage VALUES (now(), 'x', laneway_tenant(), 1)",
        "SELECT make_partitions('2031-05-01', 1)",
        "SELECT ensure_partitions(current_date, 25)",
        "SELECT ensure_partitions(current_date, 0)",
        "SELECT ensure_partitions(current_date, NULL)",
        "SELECT ensure_partitions(current_date + 90, 1)",
        "SELECT ensure_partitions(current_date - 90, 1)",
        "DELETE FROM lookup_events",
        "DELETE FROM lookup_waits",
        "INSERT INTO lookup_events (provider, sender_key, state) VALUES ('apollo', 'x', 'matched')",
        "SELECT forget_late_answers(0)",
        "SELECT forget_late_answers(NULL)",
        "DELETE FROM ended_sessions",
        "INSERT INTO ended_sessions VALUES (gen_random_uuid(), now())",
        "COPY jobs TO PROGRAM 'cat'",
    ],
)
def test_the_role_cannot_free_itself(attempt: Try, statement: str) -> None:
    assert attempt(statement), f"{statement} went through"


def test_housekeeping_still_makes_the_next_months(attempt: Try) -> None:
    assert attempt("SELECT ensure_partitions(current_date, 4)") == ""


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO chunks (job_id, tenant_id, kind, priority) SELECT '{job}', '{tenant}', 'verify', 3",
        "INSERT INTO job_results (job_id, item_no, verdict, checked_at) VALUES ('{job}', 2, 'valid', now())",
        "INSERT INTO job_duplicates (job_id, item_no, duplicate_of) VALUES ('{job}', 2, 1)",
        "INSERT INTO job_row_errors (job_id, line_no, reason) VALUES ('{job}', 2, 'x')",
        "INSERT INTO lookup_events (tenant_id, job_id, sender_key, state) VALUES ('{tenant}', '{job}', '{job}', 'matched')",
        """INSERT INTO lookup_waits (request, job_id, item_no, provider, name, identity, lookup, findings, deadline)
           VALUES (gen_random_uuid(), '{job}', 1, 'apollo', 'n', 'x', '{{}}', '{{}}', now())""",
    ],
)
def test_own_rows_do_not_go_under_the_job_of_another(
    attempt: Try, acme: Tenant, eve: Tenant, statement: str
) -> None:
    """Under another's job number they would be in the way of that job's own."""
    mine, job = make_job(eve), owner_sql("SELECT id FROM jobs WHERE tenant_id = :t", {"t": acme.id})
    try:
        assert attempt(statement.format(job=mine, tenant=eve.id)) == ""
        refused = attempt(statement.format(job=job, tenant=eve.id))
        assert "foreign key" in refused or "row-level security" in refused, refused
    finally:
        owner_sql("DELETE FROM jobs WHERE id = :j", {"j": mine})
        for table in ("job_items", "job_results"):
            owner_sql(f"DELETE FROM {table} WHERE job_id = :j", {"j": mine})


def test_a_sign_in_replaces_only_the_hash_it_checked(attempt: Try, eve: Tenant) -> None:
    def touch(person: Person, checked: str) -> bool:
        """Try to write a hash; tell whether it is there."""
        assert attempt(f"SELECT auth_touch('{person.id}', '{checked}', 'planted')") == ""
        kept = owner_sql("SELECT password_hash FROM users WHERE id = :i", {"i": person.id})
        return bool(kept == "planted")

    def hash_of(person: Person) -> str:
        return str(owner_sql("SELECT password_hash FROM users WHERE id = :i", {"i": person.id}))

    member, operator = make_person(make_tenant()), make_person(role="operator")
    assert not touch(member, "another")
    assert touch(member, hash_of(member))
    # An operator may do more than the role, so the role never writes an operator's hash.
    assert not touch(operator, hash_of(operator))


def test_switching_row_security_off_shows_nothing(attempt: Try) -> None:
    # PostgreSQL turns the setting into an error for whom a policy binds.
    for table in tables(GUARDED):
        error = attempt(f"SET row_security = off; SELECT * FROM {table}")
        assert "row-level security" in error, table


def test_leaf_partitions_cannot_be_read(attempt: Try) -> None:
    leaves = tables("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")
    assert len(leaves) >= 4
    for leaf in leaves:
        assert "permission denied" in attempt(f"SELECT * FROM {leaf}"), leaf
        assert "permission denied" in attempt(f"UPDATE {leaf} SET item_no = 0"), leaf
        assert "permission denied" in attempt(f"DELETE FROM {leaf}"), leaf


def test_the_login_is_the_role(module_environment: dict[str, str]) -> None:
    with logged_in(module_environment) as cursor:
        cursor.execute(
            """SELECT session_user, current_user, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb
               FROM pg_roles WHERE rolname = current_user"""
        )
        assert cursor.fetchone() == ("laneway_app", "laneway_app", False)
        cursor.execute("SELECT count(*) FROM pg_auth_members WHERE member = current_user::regrole")
        assert cursor.fetchone() == (0,)
