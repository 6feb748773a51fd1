"""What a change answers is read after its commit: Redis is asked for it, and nobody waits meanwhile for what was locked."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from app.clients.keys import NewKey, add_key
from app.db.scope import system_scope
from routing.rate_limits.limiter import Limiter
from tests.factories import Person, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web

SECRET = "mt_abc123xyz789"
#: Locks that a transaction still has on what it changed, or on the lane that it was to change.
LOCKS = """SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.granted AND l.pid <> pg_backend_pid() AND a.datname = current_database() AND a.backend_type = 'client backend'
    AND (l.locktype = 'advisory' OR l.mode = 'RowExclusiveLock')"""


class Watching:
    """The providers' limits; notes what others see and must wait for whenever Redis is asked about keys."""

    def __init__(self, limits: Limiter, look: str) -> None:
        self._limits = limits
        self._look = look
        self.seen: list[tuple[Any, int]] = []

    def describe(self, fingerprints: Any) -> Any:
        self.seen.append((owner_sql(self._look), owner_sql(LOCKS)))
        return self._limits.describe(fingerprints)


@pytest.fixture
def person(web: Web) -> Person:
    return make_person(make_tenant())


@pytest.fixture
def key(person: Person) -> Iterator[UUID]:
    assert person.tenant
    with system_scope() as connection:
        added = add_key(connection, person.tenant.id, NewKey(SecretStr(SECRET)))
    yield added
    owner_sql("DELETE FROM api_keys")


@pytest.fixture
def operator(web: Web) -> Caller:
    return web.caller(make_person(role="operator"))


def watch(web: Web, patch: pytest.MonkeyPatch, look: str) -> Watching:
    watching = Watching(web.app.extensions["provider_limits"], look)
    patch.setitem(web.app.extensions, "provider_limits", watching)
    return watching


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("lane", [None, "verification-queue:client-watched"])
def test_a_changed_client_is_read_when_others_see_the_change(
    web: Web,
    operator: Caller,
    person: Person,
    monkeypatch: pytest.MonkeyPatch,
    lane: str | None,
) -> None:
    assert person.tenant
    slug = person.tenant.slug
    onboarding = {"email": person.email, "keys": [{"secret": SECRET}]}
    assert operator.post("/api/clients", json=onboarding).status_code == 201
    watching = watch(web, monkeypatch, f"SELECT weight FROM tenants WHERE slug = '{slug}'")
    body = {"weight": 7} | ({"queue": lane} if lane else {})
    answer = operator.call("PATCH", f"/api/clients/{slug}", json=body)
    assert answer.json["client"]["settings"]["weight"] == 7
    assert watching.seen == [(7, 0)]


def test_a_changed_key_is_read_when_others_see_the_change(
    web: Web, operator: Caller, key: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching = watch(web, monkeypatch, f"SELECT spacing_ms FROM api_keys WHERE id = '{key}'")
    answer = operator.call("PATCH", f"/api/keys/{key}", json={"spacing_ms": 500})
    assert answer.json["spacing_ms"] == 500
    assert watching.seen == [(500, 0)]


def test_a_removed_lane_is_read_when_others_see_that_it_is_gone(
    web: Web, operator: Caller, person: Person, key: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert person.tenant
    onboarding = {"email": person.email, "keys": [{"secret": SECRET}]}
    assert operator.post("/api/clients", json=onboarding).status_code == 201
    rows = f"SELECT count(*) FROM worker_configs WHERE user_id = '{person.id}'"
    watching = watch(web, monkeypatch, rows)
    assert operator.delete(f"/api/clients/{person.tenant.slug}").status_code == 200
    assert watching.seen == [(0, 0)]
