"""One key in rows of several: the same limits for all, whoever was first, and none outlives its row."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.clients.keys import NewKey, add_key, edit_key, in_one_order, remove_key
from app.clients.onboarding import Onboarding, onboard
from app.crypto import encrypt
from app.db.scope import system_scope, tenant_scope
from app.errors import Conflict, Contradiction, InvalidInput
from app.http import client_acts
from app.http.models_clients import KeyIn
from tests.conftest import Environment
from tests.integration.client_world import add_client, run, wait_until, waits_for_a_lock
from tests.integration.ledger_world import World

KEY = NewKey(SecretStr("mt_shared_key_z789"))
OTHER = NewKey(SecretStr("mt_another_key_w012"))


@pytest.fixture
def clients(world: World, environment: Environment) -> Iterator[World]:
    """Two clients with a person each."""
    for slug in ("acme", "birch"):
        add_client(world, slug)
    yield world
    run(world, "DELETE FROM api_keys")


def add(slug: str | None, world: World, key: NewKey = KEY, **limits: Any) -> UUID:
    with system_scope() as connection:
        tenant = world.tenants[slug] if slug else None
        return add_key(connection, tenant, replace(key, **limits))


def edit(key: UUID, **settings: Any) -> None:
    with system_scope() as connection:
        edit_key(connection, key, **settings)


def in_force(world: World, slug: str) -> tuple[Any, ...]:
    """Return spacing, windows, daily limit, hour and version as a worker of the client reads them."""
    with tenant_scope(world.tenants[slug]) as c:
        row = c.execute(text("SELECT * FROM keys_for(laneway_tenant(), 'mailtester')")).one()
    windows = {(w["requests"], w["seconds"]) for w in row.extra_windows}
    windows |= {(row.requests_per_window, row.window_seconds)} if row.requests_per_window else set()
    return row.spacing_ms, windows, row.daily_limit, row.reset_hour, row.updated_at


def test_the_same_limits_may_stand_twice(clients: World) -> None:
    first, second, third = (add(slug, clients) for slug in ("acme", "birch", None))
    assert len({first, second, third}) == 3


@pytest.mark.parametrize(
    "limits",
    [
        {"spacing_ms": 125},
        {"per_30s": None},
        {"daily_limit": 10},
        {"reset_hour": 5},
        {"extra_windows": ((9, 60),)},
    ],
)
@pytest.mark.parametrize("other", ["birch", None])
def test_a_key_with_other_limits_than_it_has_elsewhere_is_refused(
    clients: World, other: str | None, limits: dict[str, Any]
) -> None:
    add(other, clients)
    whose = "the client birch" if other else "the platform"
    says = f"…z789 is also in use for {whose}.*250 ms between two calls, 165 in 30 s, 500,000 a day"
    with pytest.raises(Contradiction, match=says):
        add("acme", clients, **limits)
    mine = add("acme", clients)
    with pytest.raises(Contradiction, match=f"{says}.*--disable"):
        edit(mine, **limits)


def test_a_client_that_has_the_key_is_told_so(clients: World) -> None:
    add("acme", clients)
    with pytest.raises(Conflict, match="has been added already") as caught:
        add("acme", clients, spacing_ms=125)
    assert not isinstance(caught.value, Contradiction)


def test_limits_of_both_are_changed_while_one_is_off(clients: World) -> None:
    first, second = add("acme", clients), add("birch", clients)
    edit(second, notes="not a limit")
    edit(second, is_enabled=False)
    edit(second, spacing_ms=125)
    with pytest.raises(Contradiction):
        edit(second, is_enabled=True)
    edit(first, spacing_ms=125)
    edit(second, is_enabled=True)
    assert in_force(clients, "acme") == in_force(clients, "birch")


def put(world: World, slug: str | None, limits: str, key: NewKey = KEY) -> None:
    """Write a row past the rules."""
    run(
        world,
        f"""INSERT INTO api_keys (tenant_id, fingerprint, secret_encrypted, hint, spacing_ms, requests_per_window,
            window_seconds, extra_windows, daily_limit, reset_hour) VALUES (:t, :f, :s, 'z789', {limits})""",
        t=world.tenants[slug] if slug else None,
        f=key.fingerprint,
        s=encrypt(key.secret.get_secret_value()),
    )


def test_of_rows_that_differ_the_strictest_limits_hold_for_all(clients: World) -> None:
    put(clients, "acme", """250, 100, 30, '[{"requests": 9, "seconds": 60}]', NULL, 5""")
    put(clients, "birch", """125, 90, 30, '[{"requests": 8, "seconds": 60.0}]', 400, 7""")
    put(clients, None, """1, NULL, 30, '[{"requests": 7, "seconds": 90}]', 500, 0""")
    run(clients, "UPDATE api_keys SET is_enabled = false WHERE tenant_id IS NULL")
    *acme, version = in_force(clients, "acme")
    assert acme == [250, {(90, 30), (8, 60)}, 400, 7]
    assert [*acme, version] == [*in_force(clients, "birch")]


@pytest.mark.parametrize("how", ["DELETE FROM api_keys", "UPDATE api_keys SET is_enabled = false"])
def test_limits_go_with_their_row(clients: World, how: str) -> None:
    put(clients, "acme", "250, 100, 30, '[]', NULL, 5")
    put(clients, "birch", "500, 90, 30, '[]', 400, 7")
    *_, before = in_force(clients, "acme")
    run(clients, f"{how} WHERE tenant_id = :t", t=clients.tenants["birch"])
    *limits, version = in_force(clients, "acme")
    assert limits == [250, {(100, 30)}, None, 5]
    # Otherwise no process would take them.
    assert version > before


def test_a_client_that_leaves_takes_its_limits_along(clients: World) -> None:
    put(clients, "acme", "250, 100, 30, '[]', NULL, 5")
    put(clients, "birch", "500, 90, 30, '[]', 400, 7")
    *_, before = in_force(clients, "acme")
    run(clients, "DELETE FROM users WHERE tenant_id = :t", t=clients.tenants["birch"])
    run(clients, "DELETE FROM tenants WHERE id = :t", t=clients.tenants["birch"])
    *limits, version = in_force(clients, "acme")
    assert limits == [250, {(100, 30)}, None, 5]
    assert version > before


def test_what_held_the_other_back_is_looked_at_again(clients: World) -> None:
    put(clients, "acme", "250, 100, 30, '[]', 10, 0")
    put(clients, "birch", "250, 100, 30, '[]', 10, 0")
    run(
        clients,
        "INSERT INTO lane_holds (tenant_id, kind, until, reason) VALUES (:t, 'verify', now() + interval '1 day', 'daily_quota')",
        t=clients.tenants["acme"],
    )
    run(
        clients,
        "UPDATE api_keys SET daily_limit = 99 WHERE tenant_id = :t",
        t=clients.tenants["birch"],
    )
    assert clients.rows("SELECT 1 FROM lane_holds") == []


def test_removing_one_of_two_is_told_once_and_leaves_the_other(clients: World) -> None:
    first, _ = add("acme", clients), add("birch", clients)
    with system_scope() as connection:
        remove_key(connection, first)
    assert in_force(clients, "birch")[0] == 250


@pytest.mark.parametrize("secret", ["mt_one_key,mt_two_key", "mt_one_key;mt_two_key"])
def test_a_secret_that_would_be_two_in_an_environment_is_refused(
    clients: World, secret: str
) -> None:
    with pytest.raises(InvalidInput, match="no comma and no semicolon"):
        add("acme", clients, NewKey(SecretStr(secret)))


Adding = Callable[[World, list[NewKey]], list[UUID]]


def by_onboarding(world: World, keys: list[NewKey]) -> list[UUID]:
    order = Onboarding("acme@example.com", "verification-queue:client-acme", keys)
    with system_scope() as connection:
        return list(onboard(connection, order).key_ids)


def by_adding(world: World, keys: list[NewKey]) -> list[UUID]:
    asked = [KeyIn(secret=key.secret) for key in keys]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client_acts, "acting", system_scope)
        return client_acts.add_keys("acme", asked)[0]


@pytest.mark.parametrize("adding", [by_onboarding, by_adding])
def test_two_who_add_the_same_keys_never_wait_for_each_other(
    clients: World, adding: Adding
) -> None:
    first, second = in_one_order([KEY, OTHER])
    birch = clients.tenants["birch"]
    with ThreadPoolExecutor(1) as threads:
        with system_scope() as connection:
            add_key(connection, birch, first)
            asked = threads.submit(adding, clients, [second, first])
            wait_until(
                lambda: waits_for_a_lock(clients), "the other asks for a key that is being added"
            )
            # Had it begun with this one, PostgreSQL would now end one of both.
            add_key(connection, birch, second)
        ids = asked.result()
    hints = [
        row["hint"]
        for key in ids
        for row in clients.rows("SELECT hint FROM api_keys WHERE id = :k", k=key)
    ]
    assert hints == [second.hint, first.hint], "in the order asked"


def test_onboarding_says_of_a_key_with_other_limits(clients: World) -> None:
    add("birch", clients, spacing_ms=125)
    with pytest.raises(Contradiction, match="the client birch"):
        by_onboarding(clients, [KEY])
