"""Whose keys serve a client: its policy decides, in the database and in every process, and a change takes effect at once."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.crypto import encrypt, fingerprint
from app.db.scope import system_scope, tenant_scope
from app.work.key_forms import ENVIRONMENT_PROVIDER as PROVIDER
from app.work.key_registry import KeyRegistry
from app.work.key_usage import KeyUsage
from routing.rate_limits.limiter import AsyncLimiter
from tasks.worker_mode import EnvironmentKey
from tests.conftest import Environment
from tests.integration.client_world import give_lane, run
from tests.integration.ledger_world import World

CARRIED = EnvironmentKey(SecretStr("carried-key-0001"), 250, 100, 165)
SERVED_BY = {
    # policy: (with an own key, with its own key disabled)
    "own": (["own-key"], []),
    "platform": (["platform-key"], ["platform-key"]),
    "own_then_platform": (["own-key"], ["platform-key"]),
}


@pytest.fixture
def client(world: World, environment: Environment) -> Iterator[World]:
    """A client with a key of its own beside the platform's."""
    acme = world.add_tenant("acme")
    for tenant, secret in ((acme, "own-key"), (None, "platform-key")):
        run(
            world,
            """INSERT INTO api_keys (tenant_id, fingerprint, secret_encrypted, hint)
               VALUES (:t, :f, :s, '')""",
            t=tenant,
            f=fingerprint(PROVIDER, secret),
            s=encrypt(secret),
        )
    yield world
    run(world, "DELETE FROM api_keys")


def choose(world: World, policy: str) -> None:
    run(world, "UPDATE tenants SET key_policy = :p", p=policy)


def disable_own(world: World) -> None:
    run(world, "UPDATE api_keys SET is_enabled = false WHERE tenant_id IS NOT NULL")


def named(*secrets: str) -> set[str]:
    return {fingerprint(PROVIDER, secret) for secret in secrets}


def keys_for(world: World, tenant: UUID) -> set[str]:
    with tenant_scope(tenant, world.app) as c:
        found = c.execute(text("SELECT fingerprint FROM keys_for(:t, 'mailtester')"), {"t": tenant})
        return set(found.scalars())


def with_registry(
    act: Callable[[KeyRegistry], Coroutine[Any, Any, None]],
    redis_url: str,
    *environment: EnvironmentKey,
) -> None:
    async def work() -> None:
        limiter = AsyncLimiter.connect(redis_url)
        await act(
            KeyRegistry(PROVIDER, limiter, KeyUsage(), asyncio.to_thread, environment=environment)
        )
        await limiter.close()

    asyncio.run(work())


async def keys_in(registry: KeyRegistry, tenant: UUID) -> set[str]:
    return set((await registry.pool_for(tenant))._source.keys)


@pytest.mark.parametrize("policy", SERVED_BY)
def test_the_policy_decides_between_own_keys_and_the_platforms(client: World, policy: str) -> None:
    choose(client, policy)
    with_own, without = SERVED_BY[policy]
    assert keys_for(client, client.tenants["acme"]) == named(*with_own)
    disable_own(client)
    assert keys_for(client, client.tenants["acme"]) == named(*without)


def test_another_policy_is_refused(client: World) -> None:
    with pytest.raises(Exception, match="tenants_key_policy"):
        choose(client, "any")


@pytest.mark.parametrize("policy", SERVED_BY)
def test_a_process_follows_the_policy_and_its_change(
    client: World, redis_url: str, policy: str
) -> None:
    acme = client.tenants["acme"]

    async def act(registry: KeyRegistry) -> None:
        await registry.pool_for(acme)
        choose(client, policy)
        registry.invalidate()
        assert await keys_in(registry, acme) == named(*SERVED_BY[policy][0])
        disable_own(client)
        registry.invalidate()
        assert await keys_in(registry, acme) == named(*SERVED_BY[policy][1])

    with_registry(act, redis_url)


def test_a_client_without_a_key_takes_none_from_the_others(client: World, redis_url: str) -> None:
    """Its empty pool is its own: the platform's serves the other clients on."""
    acme, guest = client.tenants["acme"], client.add_tenant("guest")
    run(client, "UPDATE tenants SET key_policy = 'own' WHERE id = :t", t=acme)
    disable_own(client)

    async def act(registry: KeyRegistry) -> None:
        assert await keys_in(registry, guest) == named("platform-key")
        assert await keys_in(registry, acme) == set()
        assert await keys_in(registry, guest) == named("platform-key")

    with_registry(act, redis_url)


@pytest.mark.parametrize(
    ("policy", "keys"),
    [("own", []), ("platform", ["carried-key-0001"]), ("own_then_platform", ["carried-key-0001"])],
)
def test_keys_of_a_shared_workers_environment_are_the_platforms_by_the_same_policy(
    client: World, redis_url: str, policy: str, keys: list[str]
) -> None:
    choose(client, policy)
    disable_own(client)

    async def act(registry: KeyRegistry) -> None:
        assert await keys_in(registry, client.tenants["acme"]) == named(*keys)

    with_registry(act, redis_url, CARRIED)


def test_more_windows_and_the_hour_of_the_day_reach_the_pool(client: World, redis_url: str) -> None:
    run(
        client,
        """UPDATE api_keys SET reset_hour = 3, requests_per_window = 165,
               extra_windows = '[{"requests": 1000, "seconds": 3600.0}]' WHERE tenant_id IS NOT NULL""",
    )

    async def act(registry: KeyRegistry) -> None:
        pool = await registry.pool_for(client.tenants["acme"])
        [key] = pool._source.keys.values()
        assert key.windows == ((165, 30_000), (1000, 3_600_000))
        assert key.reset_hour == 3

    with_registry(act, redis_url)


def test_another_policy_ends_the_hold_that_the_keys_of_before_made_necessary(client: World) -> None:
    client.submit("acme", 10)
    with client.scope("acme") as c:
        c.execute(
            text("""INSERT INTO lane_holds (tenant_id, kind, until, reason)
                    VALUES (laneway_tenant(), 'verify', now() + interval '9 hours', 'daily_quota')""")
        )
    run(client, "UPDATE tenants SET weight = 2")
    assert client.release() == []
    choose(client, "platform")
    assert len(client.release()) == 1


def test_workers_are_told_of_a_change_also_by_hand(client: World) -> None:
    listener = client.owner.raw_connection()
    try:
        listener.dbapi_connection.autocommit = True
        listener.cursor().execute("LISTEN laneway_keys; LISTEN laneway_ready")
        run(client, "UPDATE tenants SET weight = 2 WHERE slug = 'acme'")
        listener.cursor().execute("SELECT 1")
        listener.dbapi_connection.poll()
        told = {(n.channel, n.payload) for n in listener.dbapi_connection.notifies}
        assert told == {("laneway_keys", str(client.tenants["acme"])), ("laneway_ready", "")}
    finally:
        listener.close()


def test_operators_see_which_keys_are_in_force(client: World) -> None:
    def in_force() -> set[tuple[object, object]]:
        with system_scope(client.app) as c:
            found = c.execute(
                text("SELECT tenant_slug, source FROM keys_overview() WHERE in_force")
            )
            return {(row.tenant_slug, row.source) for row in found}

    assert in_force() == {("acme", "database"), (None, "database")}
    choose(client, "platform")
    assert in_force() == {(None, "database")}
    choose(client, "own")
    person = client.add_user("acme", "acme@example.com")
    give_lane(client, person)
    client.attend("verification-queue:client-acme", 8)
    run(
        client,
        """UPDATE workers SET environment_keys = jsonb_build_array(jsonb_build_object(
               'fingerprint', 'f', 'hint', '0001', 'spacing_ms', 250, 'client_id', CAST(:p AS text)))""",
        p=str(person),
    )
    assert in_force() == {("acme", "environment"), (None, "database")}
