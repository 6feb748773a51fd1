"""Onboarding: everything or nothing, safe to repeat, one client a lane."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection

from app.accounts.users import authenticate
from app.clients import keys, onboarding
from app.clients.actor import acting_as
from app.clients.clients import (
    LaneChange,
    change_settings,
    enable,
    get_client,
    history,
    list_clients,
    remove,
    rollback,
)
from app.clients.keys import NewKey
from app.clients.new_client import make_client, suggest_slug
from app.clients.onboarding import Onboarded, Onboarding, expected_client, onboard
from app.crypto import decrypt
from app.db.engine import owner_engine
from app.db.scope import system_scope
from app.errors import Conflict, InvalidInput, LanewayError, NotFound
from tests.factories import Person, make_job, make_person, make_tenant, owner_sql
from tests.integration.client_world import wait_until

SHARED = "verification-queue"
FIRST = NewKey(SecretStr("mt_abc123xyz789"))
SECOND = NewKey(SecretStr("mt_def456uvw012"), spacing_ms=125)
LOCK_WAITS = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'"""
#: Everything that onboarding may write.
TABLES = ("tenants", "users", "worker_configs", "api_keys", "audit_events", "tenant_routes")


@pytest.fixture
def person(module_environment: object) -> Person:
    # Tests share their keys, and rows with one key have the same limits.
    owner_sql("DELETE FROM api_keys")
    return make_person(make_tenant())


@pytest.fixture(params=["web", "owner"])
def connection(request: pytest.FixtureRequest, module_environment: object) -> Iterator[Connection]:
    """Both who may call: the web's role and the owner."""
    opened = system_scope() if request.param == "web" else owner_engine().begin()
    with opened as connection:
        acting_as(connection, "op@example.com")
        yield connection


def queue_of(person: Person) -> str:
    assert person.tenant
    return f"{SHARED}:client-{person.tenant.slug}"


def put(person: Person, *new: NewKey, queue: str | None = None, notes: str = "Acme") -> Onboarded:
    with system_scope() as connection:
        acting_as(connection, "op@example.com")
        return onboard(
            connection, Onboarding(person.email, queue or queue_of(person), new, notes=notes)
        )


def contents() -> dict[str, list[Any]]:
    with owner_engine().begin() as connection:
        return {
            table: sorted(map(repr, connection.exec_driver_sql(f"SELECT t::text FROM {table} t")))
            for table in TABLES
        }


def test_a_client_gets_lane_and_keys(connection: Connection, person: Person) -> None:
    assert person.tenant
    make_job(person.tenant, 10)
    made = onboard(
        connection, Onboarding(person.email, queue_of(person), [FIRST, SECOND], notes="Acme")
    )
    assert made.change == LaneChange(SHARED, queue_of(person), 1)
    assert made.hint == "z789,w012"
    assert made.added == made.key_ids
    assert made.client.is_dedicated
    assert made.client.queue == made.client.configured_queue == queue_of(person)
    assert made.client.notes == "Acme"
    (moved,) = [row for row in history(connection, person.tenant.id) if row.chunks_moved]
    assert (moved.actor, moved.action, moved.to_queue) == (
        "op@example.com",
        "lane.changed",
        queue_of(person),
    )
    serving = keys.serving_keys(connection, made.client)
    assert {(key.hint, key.spacing_ms) for key in serving} == {("z789", 250), ("w012", 125)}


def test_twice_changes_nothing(person: Person) -> None:
    first = put(person, FIRST, SECOND)
    before = contents()
    again = put(person, FIRST, SECOND)
    assert contents() == before
    assert again.key_ids == first.key_ids
    assert again.added == ()
    assert again.change == LaneChange(queue_of(person), queue_of(person), 0)


def test_a_key_that_is_there_keeps_its_limits(person: Person) -> None:
    (key_id,) = put(person, FIRST).key_ids
    with system_scope() as connection:
        keys.edit_key(connection, key_id, spacing_ms=125)
    assert put(person, FIRST).key_ids == (key_id,)
    with system_scope() as connection:
        assert keys.key_facts(connection, key_id).spacing_ms == 125


@pytest.mark.parametrize(
    ("new", "queue", "error"),
    [
        ([FIRST, FIRST], None, InvalidInput),
        ([FIRST, NewKey(SecretStr("short"))], None, InvalidInput),
        ([FIRST, NewKey(SecretStr("mt_def456uvw012"), spacing_ms=-1)], None, InvalidInput),
        ([FIRST], "acme", InvalidInput),
        ([FIRST], SHARED, InvalidInput),
        ([FIRST], "verification-queue:client-Acme", InvalidInput),
        ([FIRST], "verification-queue:client-a\0", InvalidInput),
    ],
)
def test_half_way_leaves_nothing(
    person: Person, new: list[NewKey], queue: str | None, error: type[LanewayError]
) -> None:
    before = contents()
    with pytest.raises(error) as caught:
        put(person, *new, queue=queue)
    assert contents() == before
    assert "mt_" not in caught.value.message


def test_a_caller_who_goes_on_finds_nothing_done(person: Person) -> None:
    before = contents()
    with system_scope() as connection:
        request = Onboarding(person.email, "verification-queue:client-", [FIRST])
        with pytest.raises(InvalidInput):
            onboard(connection, request)
    assert contents() == before


def test_two_clients_cannot_take_one_queue(person: Person) -> None:
    put(person, FIRST)
    other = make_person(make_tenant())
    with pytest.raises(Conflict) as caught:
        put(other, SECOND, queue=queue_of(person))
    assert person.tenant
    assert person.tenant.slug in caught.value.message
    assert "choose another name" in caught.value.message
    assert (
        owner_sql("SELECT count(*) FROM api_keys WHERE tenant_id = :t", {"t": other.tenant.id}) == 0
    )  # type: ignore[union-attr]


def test_a_wrong_name_is_refused_with_what_to_write(person: Person) -> None:
    with pytest.raises(InvalidInput, match=r"Write verification-queue:client- and then small"):
        put(person, queue="verification-queue:acme")


def test_nobody_and_an_operator_have_no_lane(module_environment: object) -> None:
    operator = make_person(role="operator")
    for email, error in (("nobody@example.com", NotFound), (operator.email, InvalidInput)):
        with system_scope() as connection, pytest.raises(error):
            onboard(connection, Onboarding(email, f"{SHARED}:client-x"))


def test_client_and_person_are_made_first(connection: Connection) -> None:
    request = Onboarding(
        "New@example.com", f"{SHARED}:client-new", [FIRST], name=" New GmbH ", slug="new"
    )
    savepoint = connection.begin_nested()
    assert expected_client(connection, request) is None
    made = onboard(connection, request)
    assert made.password
    assert (made.client.slug, made.client.name) == ("new", "New GmbH")
    told = [(row.action, row.actor) for row in history(connection, made.client.id)]
    assert told[-1] == ("client.created", "op@example.com")
    account = authenticate(connection, "new@example.com", made.password)
    assert (account.role, account.tenant_slug) == ("admin", "new")
    assert made.password not in repr(history(connection))
    assert onboard(connection, request).password is None
    assert expected_client(connection, request) == made.client
    savepoint.rollback()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"email": "nobody"}, InvalidInput),
        ({"slug": "New"}, InvalidInput),
        ({"slug": "a" * 64}, InvalidInput),
        ({"name": " "}, InvalidInput),
        ({"queue": "acme"}, InvalidInput),
    ],
)
def test_a_client_that_cannot_be_is_not_made_half(
    module_environment: object, changes: dict[str, str], error: type[LanewayError]
) -> None:
    order = {"email": "n@example.com", "queue": f"{SHARED}:client-n", "name": "N", "slug": "n"}
    before = contents()
    with system_scope() as connection, pytest.raises(error):
        onboard(connection, Onboarding(**order | changes))
    assert contents() == before


def test_a_short_name_is_one_clients(person: Person) -> None:
    assert person.tenant
    before = contents()
    request = Onboarding("n@example.com", f"{SHARED}:client-n", name="N", slug=person.tenant.slug)
    for act in (onboard, expected_client):
        with system_scope() as connection, pytest.raises(Conflict, match="another short name"):
            act(connection, request)
    assert contents() == before


def test_the_same_client_made_twice_at_once_is_refused_in_words(module_environment: object) -> None:
    """The second looks before the first has committed; what the database refuses is said."""

    def make(email: str) -> None:
        with system_scope() as connection:
            make_client(connection, "Twin", "twin", email)

    with ThreadPoolExecutor(1) as thread:
        with system_scope() as connection:
            make_client(connection, "Twin", "twin", "one@example.com")
            second = thread.submit(make, "two@example.com")
            wait_until(lambda: owner_sql(LOCK_WAITS), "the other one waits")
        with pytest.raises(Conflict, match="this short name already"):
            second.result()


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("ACME Corp", "acme-corp"),
        ("Söhne & Co. KG", "sohne-co-kg"),
        ("--a--", "a"),
        ("1&1", "1-1"),
        ("x" * 49 + " y", "x" * 49),
    ],
)
def test_a_short_name_is_made_of_the_name(name: str, slug: str) -> None:
    assert suggest_slug(name) == slug


def test_of_a_name_without_letters_none_is_made() -> None:
    with pytest.raises(InvalidInput, match="give one"):
        suggest_slug("日本")


def test_rolled_back_put_back_and_removed(connection: Connection, person: Person) -> None:
    assert person.tenant
    tenant_id, queue = person.tenant.id, queue_of(person)
    make_job(person.tenant, 300)
    with pytest.raises(Conflict, match="clients onboard"):
        enable(connection, tenant_id)
    assert rollback(connection, tenant_id) == LaneChange(SHARED, SHARED, 0)
    onboard(connection, Onboarding(person.email, queue, [FIRST]))
    assert rollback(connection, tenant_id) == LaneChange(queue, SHARED, 3)
    assert rollback(connection, tenant_id) == LaneChange(SHARED, SHARED, 0)
    assert not get_client(connection, person.email, 15).is_dedicated
    assert enable(connection, tenant_id) == LaneChange(SHARED, queue, 3)
    assert enable(connection, tenant_id) == LaneChange(queue, queue, 0)
    assert remove(connection, tenant_id) == LaneChange(queue, SHARED, 3)
    assert get_client(connection, tenant_id, 15).config_id is None
    assert get_client(connection, tenant_id, 15).keys == 1
    moves = [row.to_queue for row in history(connection, tenant_id) if row.to_queue]
    assert moves == [SHARED, queue, SHARED, queue]


def test_a_client_is_found_by_any_of_its_names(connection: Connection, person: Person) -> None:
    assert person.tenant
    names = [person.tenant.slug, str(person.tenant.id), str(person.id), person.email.upper()]
    assert {get_client(connection, name, 15).id for name in names} == {person.tenant.id}
    assert person.tenant.slug in {client.slug for client in list_clients(connection, 15)}
    for name in ("missing", "00000000-0000-0000-0000-000000000000", "x@example.com", "a\0@b", "\0"):
        with pytest.raises(NotFound):
            get_client(connection, name, 15)


def test_settings_are_changed_and_told(connection: Connection, person: Person) -> None:
    assert person.tenant
    tenant_id = person.tenant.id
    changes = change_settings(connection, tenant_id, weight=5, fallback_after_seconds=60)
    assert changes == {"weight": (1, 5), "fallback_after_seconds": (None, 60)}
    assert change_settings(connection, tenant_id, weight=5) == {}
    assert change_settings(connection, tenant_id, fallback_after_seconds=None) == {
        "fallback_after_seconds": (60, None)
    }
    (_, newest) = (row.details for row in history(connection, tenant_id, 2))
    assert newest == {"weight": [1, 5], "fallback_after_seconds": [None, 60]}


@pytest.mark.parametrize(
    "settings",
    [
        {"weight": 0},
        {"weight": None},
        {"weight": True},
        {"weight": "5"},
        {"max_in_flight": 0},
        {"max_in_flight_per_job": 10**12},
        {"fallback_after_seconds": 29},
        {"key_policy": "theirs"},
        {"name": " "},
        {"slug": "other"},
    ],
)
def test_settings_that_cannot_be_are_refused(person: Person, settings: dict[str, object]) -> None:
    assert person.tenant
    with system_scope() as connection, pytest.raises(InvalidInput):
        change_settings(connection, person.tenant.id, **settings)


def test_no_secret_is_in_the_audit(person: Person) -> None:
    made = put(person, FIRST, SECOND)
    with system_scope() as connection:
        keys.edit_key(connection, made.key_ids[0], spacing_ms=300, notes="slower")
        keys.remove_key(connection, made.key_ids[1])
        said = repr(history(connection, made.client.id))
    assert "key.removed" in said
    assert "mt_abc" not in said
    assert "mt_def" not in said
    stored = owner_sql(
        "SELECT secret_encrypted FROM api_keys WHERE id = :id", {"id": made.key_ids[0]}
    )
    assert decrypt(bytes(stored)) == "mt_abc123xyz789"
    assert "mt_abc" not in repr(made)
    assert onboarding.__doc__


@pytest.mark.parametrize(
    "settings",
    [
        {"spacing_ms": -1},
        {"spacing_ms": None},
        {"per_30s": 0},
        {"extra_windows": [(1000, 30)]},
        {"extra_windows": [(1000,)]},
        {"extra_windows": [1000]},
        {"extra_windows": None},
        {"reset_hour": 24},
        {"daily_limit": "5"},
        {"is_enabled": None},
        {"notes": 5},
        {"hint": "abcd"},
    ],
)
def test_limits_that_cannot_be_are_refused(person: Person, settings: dict[str, object]) -> None:
    (key_id,) = put(person, FIRST).key_ids
    with system_scope() as connection, pytest.raises(InvalidInput):
        keys.edit_key(connection, key_id, **settings)


def test_limits_are_changed_together(person: Person) -> None:
    (key_id,) = put(person, FIRST).key_ids
    with system_scope() as connection:
        changes = keys.edit_key(
            connection, key_id, per_30s=None, extra_windows=[(1000, 3600)], reset_hour=5
        )
        facts = keys.key_facts(connection, key_id)
    assert changes["requests_per_window"] == (165, None)
    assert changes["reset_hour"] == (0, 5)
    assert facts.windows == ((1000, 3600),)


def test_a_policy_decides_which_keys_serve(connection: Connection, person: Person) -> None:
    owner_sql("DELETE FROM api_keys")
    platform = keys.add_key(connection, None, NewKey(SecretStr("platform-key")))
    assert person.tenant

    def serving() -> list[object]:
        client = get_client(connection, person.tenant.id, 15)  # type: ignore[union-attr]
        return [key.id for key in keys.serving_keys(connection, client)]

    assert serving() == [platform]
    change_settings(connection, person.tenant.id, key_policy="own")
    assert serving() == []
    own = keys.add_key(connection, person.tenant.id, FIRST)
    assert serving() == [own]
    change_settings(connection, person.tenant.id, key_policy="platform")
    assert serving() == [platform]
