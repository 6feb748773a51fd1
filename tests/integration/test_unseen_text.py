"""Control characters in names and notes: refused where they come in, shown by number where SQL wrote them all the same."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskCliRunner
from pydantic import SecretStr
from sqlalchemy import Connection

from app.clients import keys
from app.clients.clients import get_client
from app.clients.keys import NewKey
from app.clients.onboarding import Onboarding, onboard
from app.db.scope import system_scope
from app.errors import InvalidInput
from tests.factories import Person, make_lane, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web

BAD = "Acme\x1b[2J"
QUEUE = "verification-queue:client-unseen"
SECRET = SecretStr("mt_abc123xyz789")


@pytest.fixture
def person(web: Web) -> Person:
    return make_person(make_tenant())


@pytest.fixture
def operator(web: Web) -> Caller:
    return web.caller(make_person(role="operator"))


def attempts(person: Person) -> list[Callable[[Connection], object]]:
    assert person.tenant
    tenant = person.tenant.id
    return [
        lambda c: onboard(c, Onboarding(person.email, QUEUE, notes=BAD)),
        lambda c: onboard(c, Onboarding(person.email, f"{QUEUE}\x1b")),
        lambda c: onboard(c, Onboarding("n@example.com", QUEUE, name=BAD, slug="unseen")),
        lambda c: keys.add_key(c, tenant, NewKey(SECRET, notes=BAD)),
        lambda c: keys.edit_key(c, keys.add_key(c, tenant, NewKey(SECRET)), notes=BAD),
    ]


@pytest.mark.parametrize("nth", range(5))
def test_no_way_in_takes_them(person: Person, nth: int) -> None:
    with (
        pytest.raises(InvalidInput, match="control characters"),
        system_scope() as connection,
    ):
        attempts(person)[nth](connection)


def test_notes_may_have_lines(person: Person) -> None:
    with system_scope() as connection:
        done = onboard(connection, Onboarding(person.email, QUEUE, notes="one\r\ntwo"))
        assert done.client.notes == "one\r\ntwo"
        connection.rollback()


def test_the_api_refuses_them(operator: Caller, person: Person) -> None:
    assert person.tenant
    url = f"/api/clients/{person.tenant.slug}"
    key = {"secret": SECRET.get_secret_value(), "notes": BAD}
    for answer in (
        operator.call("PATCH", url, json={"name": BAD}),
        operator.post(f"{url}/keys", json={"keys": [key]}),
        operator.post("/api/clients", json={"email": person.email, "notes": BAD}),
    ):
        assert (answer.status_code, "control characters" in answer.text) == (422, True)


def test_what_sql_wrote_steers_no_terminal(web: Web, person: Person) -> None:
    assert person.tenant
    slug = person.tenant.slug
    make_lane(person, f"verification-queue:client-{slug}")
    with system_scope() as connection:
        key = keys.add_key(connection, person.tenant.id, NewKey(SECRET))
    owner_sql("UPDATE tenants SET name = :n WHERE slug = :s", {"n": BAD, "s": slug})
    owner_sql("UPDATE worker_configs SET notes = :n", {"n": BAD})
    owner_sql("UPDATE api_keys SET notes = :n WHERE id = :k", {"n": BAD, "k": key})
    cli: FlaskCliRunner = web.app.test_cli_runner()
    for words in (
        ["clients", "show", slug],
        ["clients", "show", slug, "--json"],
        ["clients", "list", "--json"],
        ["clients", "worker", slug],
        ["clients", "message", slug],
        ["tenants", "list"],
        ["clients", "set", slug, "--name", "Acme"],
        ["clients", "history", slug],
        ["keys", "edit", str(key), "--notes", "fine"],
    ):
        said = cli.invoke(args=words).output
        assert "\x1b" not in said, words
        assert r"Acme\u001b[2J" in said, words


def test_a_short_name_that_reads_as_an_id_names_its_own_client(person: Person) -> None:
    assert person.tenant
    other = make_tenant(str(person.tenant.id))
    with system_scope() as connection:
        assert get_client(connection, other.slug, 15).id == other.id
