"""A job is made only for the caller whom its version names, as far as that goes: of this client, with this token, while it lasts."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app.accounts.api_tokens import create_token, hash_of
from app.accounts.callers import Caller, find_program
from app.db.engine import owner_engine
from app.db.scope import statement_scope, tenant_scope
from app.jobs.new_job import AskedBy, submit_many
from tests.factories import Person, Tenant, make_person, make_tenant, owner_sql
from tests.integration.test_jobs_together import PATIENCE_SECONDS, jobs_of, lead, wait_until

pytestmark = pytest.mark.usefixtures("module_environment")


@pytest.fixture
def acme() -> Tenant:
    return make_tenant()


@pytest.fixture
def ann(acme: Tenant) -> Person:
    return make_person(acme)


def version_of(person: Person, token: str | None = None) -> str:
    values = {"u": person.id, "h": token and hash_of(token)}
    return str(owner_sql("SELECT version FROM auth_caller(:u, CAST(:h AS bytea))", values))


def token_of(person: Person, expires_at: datetime | None = None) -> tuple[UUID, str]:
    assert person.tenant
    with tenant_scope(person.tenant.id) as connection:
        return create_token(connection, person.id, "robot", ["jobs:write"], expires_at)


def is_made(tenant: Tenant, person: UUID | None, caller: AskedBy) -> bool:
    before = jobs_of(tenant)
    (made,) = submit_many(tenant.id, [lead(created_by=person, caller=caller)])
    assert jobs_of(tenant) == before + (made is not None)
    return made is not None


def test_of_whom_nothing_has_changed_it_is_made(acme: Tenant, ann: Person) -> None:
    token_id, token = token_of(ann)
    assert is_made(acme, ann.id, AskedBy(version_of(ann)))
    assert is_made(acme, ann.id, AskedBy(version_of(ann, token), token_id))


def test_a_token_that_has_ended_since_makes_none(acme: Tenant, ann: Person) -> None:
    """Nobody writes its row when it ends, so that is not told by the version."""
    token_id, token = token_of(ann, datetime.now(UTC) + timedelta(days=1))
    owner_sql("UPDATE api_tokens SET last_used_at = now() WHERE id = :t", {"t": token_id})
    assert is_made(acme, ann.id, AskedBy(version_of(ann, token), token_id))
    owner_sql(
        "UPDATE api_tokens SET expires_at = now() - interval '1 second' WHERE id = :t",
        {"t": token_id},
    )
    rows = "SELECT concat_ws(' ', u.xmin, t.xmin, k.xmin) FROM users u, tenants t, api_tokens k WHERE (u.id, t.id, k.id) = (:u, :t, :k)"
    now = str(owner_sql(rows, {"u": ann.id, "t": acme.id, "k": token_id}))
    assert not is_made(acme, ann.id, AskedBy(now, token_id))


def test_the_version_of_one_is_not_good_for_another(acme: Tenant, ann: Person) -> None:
    token_id, token = token_of(ann)
    bob, eve = make_person(acme), make_person(make_tenant())
    assert not is_made(acme, bob.id, AskedBy(version_of(ann)))
    assert not is_made(acme, None, AskedBy(version_of(ann)))
    assert not is_made(acme, eve.id, AskedBy(version_of(eve)))
    assert not is_made(acme, ann.id, AskedBy(version_of(ann), token_id))
    assert not is_made(acme, ann.id, AskedBy(version_of(ann, token)))
    assert not is_made(acme, ann.id, AskedBy(version_of(ann, token), token_of(ann)[0]))
    assert not is_made(acme, ann.id, AskedBy(version_of(ann, token), uuid4()))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE tenants SET name = name WHERE id = :t",
        "UPDATE users SET is_active = false WHERE id = :u",
        "DELETE FROM users WHERE id = :u",
    ],
)
def test_after_any_change_it_is_asked_anew(acme: Tenant, ann: Person, change: str) -> None:
    asked = AskedBy(version_of(ann))
    assert is_made(acme, ann.id, asked)
    owner_sql(change, {k: v for k, v in {"t": acme.id, "u": ann.id}.items() if f":{k}" in change})
    assert not is_made(acme, ann.id, asked)


def test_a_person_of_another_client_makes_none_though_both_clients_are_of_one_transaction(
    acme: Tenant, ann: Person
) -> None:
    """So their rows have the same version."""
    eve = make_person(make_tenant())
    assert eve.tenant
    owner_sql(
        "UPDATE tenants SET name = name WHERE id IN (:a, :b)", {"a": acme.id, "b": eve.tenant.id}
    )
    assert not is_made(acme, eve.id, AskedBy(version_of(eve)))
    assert is_made(acme, ann.id, AskedBy(version_of(ann)))


def test_a_version_without_a_person_is_nobodys(acme: Tenant) -> None:
    client = str(owner_sql("SELECT xmin FROM tenants WHERE id = :t", {"t": acme.id}))
    assert not is_made(acme, None, AskedBy(client))
    assert not is_made(acme, uuid4(), AskedBy(client))


SLOW = """
    CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE UPDATE OF last_used_at ON api_tokens FOR EACH ROW EXECUTE FUNCTION wait_here()
"""
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted"


def test_who_is_moved_between_two_looks_of_one_question_is_not_found(
    acme: Tenant, ann: Person
) -> None:
    """Else they would be remembered with the version of what they are now, and with the client that they have left."""
    token = token_of(ann)[1]

    def look_up() -> Caller | None:
        with statement_scope() as connection:
            return find_program(connection, token)

    owner_sql(SLOW)
    try:
        with ThreadPoolExecutor(1) as pool:
            with owner_engine().begin() as keeper:
                keeper.execute(text("SELECT pg_advisory_xact_lock(7)"))
                found = pool.submit(look_up)
                wait_until(lambda: owner_sql(WAITING) == 1)
                owner_sql(
                    "UPDATE users SET tenant_id = :t WHERE id = :u",
                    {"t": make_tenant().id, "u": ann.id},
                )
            assert found.result(PATIENCE_SECONDS) is None
    finally:
        owner_sql("DROP TRIGGER slow ON api_tokens; DROP FUNCTION wait_here()")
