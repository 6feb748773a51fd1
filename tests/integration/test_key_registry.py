"""Which keys serve which client: its own before the platform's, the environment's where it stands for them."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import text
from structlog.testing import capture_logs

from app.crypto import encrypt, fingerprint
from app.db.scope import system_scope
from app.errors import Misconfigured
from app.jobs.provider_keys import key_overview
from app.work.key_forms import ENVIRONMENT_PROVIDER as PROVIDER
from app.work.key_registry import KeyRegistry
from app.work.key_usage import KeyUsage
from routing.key_pool import KeyPool
from routing.rate_limits.errors import LimitsUnavailable
from routing.rate_limits.limiter import AsyncLimiter
from tests.conftest import Environment
from tests.integration.ledger_world import World


@dataclass(frozen=True)
class Carried:
    """A key of a worker's environment."""

    secret: SecretStr
    spacing_ms: int = 250
    daily_limit: int = 100
    requests_per_30s: int = 165
    client_id: UUID | None = None


@pytest.fixture
def clients(world: World, environment: Environment) -> Iterator[World]:
    """A client with a key of its own, one without, and a key of the platform."""
    # A key that was used a moment ago, in another test's Redis, would wait a window.
    world.rows("DELETE FROM key_usage RETURNING 1 AS x")
    world.add_tenant("owner", weight=3)
    world.add_tenant("guest")
    for tenant, secret in ((world.tenants["owner"], "owners-key"), (None, "platform-key")):
        add_key(world, tenant, secret)
    yield world
    world.rows("DELETE FROM api_keys RETURNING id")


def add_key(world: World, tenant: UUID | None, secret: str) -> None:
    with world.owner.begin() as c:
        c.execute(
            text("""INSERT INTO api_keys (tenant_id, fingerprint, secret_encrypted, hint)
                    VALUES (:t, :f, :s, '')"""),
            {"t": tenant, "f": fingerprint(PROVIDER, secret), "s": encrypt(secret)},
        )


def with_registry(
    act: Callable[[KeyRegistry], Coroutine[Any, Any, None]],
    redis_url: str,
    **settings: Any,
) -> None:
    async def run() -> None:
        limiter = AsyncLimiter.connect(redis_url)
        await act(KeyRegistry(PROVIDER, limiter, KeyUsage(), asyncio.to_thread, **settings))
        await limiter.close()

    asyncio.run(run())


def keys_of(pool: KeyPool) -> set[str]:
    return set(pool._source.keys)


def named(*secrets: str) -> set[str]:
    return {fingerprint(PROVIDER, secret) for secret in secrets}


def test_own_keys_come_before_the_platforms_and_weights_are_known(
    clients: World, redis_url: str
) -> None:
    async def act(registry: KeyRegistry) -> None:
        own = await registry.pool_for(clients.tenants["owner"])
        shared = await registry.pool_for(clients.tenants["guest"])
        assert (keys_of(own), keys_of(shared)) == (named("owners-key"), named("platform-key"))
        assert registry._weights[str(clients.tenants["owner"])] == 3

    with_registry(act, redis_url)


def test_keys_of_a_shared_workers_environment_stand_for_the_platforms(
    clients: World, redis_url: str
) -> None:
    async def act(registry: KeyRegistry) -> None:
        own = await registry.pool_for(clients.tenants["owner"])
        shared = await registry.pool_for(clients.tenants["guest"])
        assert keys_of(own) == named("owners-key")
        assert keys_of(shared) == named("carried-key-0001")

    with_registry(act, redis_url, environment=[Carried(SecretStr("carried-key-0001"))])


@pytest.mark.parametrize("by", ["user", "tenant"])
def test_keys_of_a_dedicated_workers_environment_win_for_their_client_and_serve_no_other(
    clients: World, redis_url: str, by: str
) -> None:
    tenant = clients.tenants["owner"]
    person = clients.add_user("owner", "owner@example.com")

    async def act(registry: KeyRegistry) -> None:
        own = await registry.pool_for(tenant)
        other = await registry.pool_for(clients.tenants["guest"])
        assert keys_of(own) == named("carried-key-0001", "carried-key-0002")
        assert keys_of(other) == named("platform-key")

    client = person if by == "user" else tenant
    carried = [Carried(SecretStr(f"carried-key-000{n}"), client_id=client) for n in (1, 2)] + [
        Carried(SecretStr("another-clients"), client_id=UUID(int=7))
    ]
    with_registry(act, redis_url, environment=carried)


def test_each_of_several_clients_has_its_own_keys(clients: World, redis_url: str) -> None:
    owner, guest = clients.tenants["owner"], clients.tenants["guest"]

    async def act(registry: KeyRegistry) -> None:
        for tenant, key in ((owner, "first-key"), (guest, "second-key")):
            assert keys_of(await registry.pool_for(tenant)) == named(key)

    carried = [
        Carried(SecretStr("first-key"), client_id=owner),
        Carried(SecretStr("second-key"), client_id=guest),
    ]
    with_registry(act, redis_url, environment=carried)


def test_a_key_of_the_environment_brings_its_limits_though_a_row_has_the_same_key(
    clients: World, redis_url: str
) -> None:
    """The limiter takes no older limits than it has; the row is older than this process's start."""
    tenant = clients.tenants["owner"]
    with clients.owner.begin() as c:
        c.exec_driver_sql("ALTER TABLE api_keys DISABLE TRIGGER api_keys_touch")
        c.exec_driver_sql("UPDATE api_keys SET updated_at = now() - interval '1 day'")
        c.exec_driver_sql("ALTER TABLE api_keys ENABLE TRIGGER api_keys_touch")

    async def reserve(registry: KeyRegistry) -> None:
        pool = await registry.pool_for(tenant)
        await pool.acquire(str(tenant))
        await pool.close()

    def spacing() -> object:
        with redis.Redis.from_url(redis_url, decode_responses=True) as client:
            return client.hget(f"{{rl}}:key:{fingerprint(PROVIDER, 'owners-key')}", "spacing")

    with_registry(reserve, redis_url)
    mine = [Carried(SecretStr("owners-key"), spacing_ms=777, client_id=tenant)]
    with_registry(reserve, redis_url, environment=mine)
    assert spacing() == "777"
    with_registry(reserve, redis_url)
    assert spacing() == "777"


def test_what_nobody_uses_for_an_hour_is_dropped_and_can_come_back(
    clients: World, redis_url: str
) -> None:
    moment = [1_000.0]
    owner, guest = clients.tenants["owner"], clients.tenants["guest"]

    async def act(registry: KeyRegistry) -> None:
        gone = await registry.pool_for(owner)
        await gone.acquire(str(owner))
        kept = await registry.pool_for(guest)
        assert await registry.drop_unused() == 0
        moment[0] += 3_000
        assert await registry.pool_for(guest) is kept
        moment[0] += 601
        assert await registry.drop_unused() == 1
        assert await registry.pool_for(guest) is kept
        assert (set(registry._by_tenant), set(registry._weights)) == ({guest}, {str(guest)})
        assert set(registry._pools) == {f"{PROVIDER}:platform"}
        assert set(registry._loading) == {guest}
        with pytest.raises(LimitsUnavailable):
            await gone.acquire(str(owner))
        again = await registry.pool_for(owner)
        assert again is not gone
        await again.acquire(str(owner))
        await again.close()

    with_registry(act, redis_url, clock=lambda: moment[0])


def test_a_client_that_asks_again_just_then_keeps_its_turn(
    clients: World, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys are being read while it is forgotten: who comes next waits for them and reads nothing anew."""
    moment = [1_000.0]
    owner = clients.tenants["owner"]

    async def act(registry: KeyRegistry) -> None:
        await registry.pool_for(owner)
        moment[0] += 3_601
        read, readings = registry._load, 0
        second: list[asyncio.Task[KeyPool]] = []

        async def read_slowly(tenant_id: UUID) -> Any:
            nonlocal readings
            readings += 1
            if not second:
                await registry.drop_unused()
                second.append(asyncio.create_task(registry.pool_for(owner)))
                await asyncio.sleep(0)
            return await read(tenant_id)

        monkeypatch.setattr(registry, "_load", read_slowly)
        first = await registry.pool_for(owner)
        assert await second[0] is first
        assert readings == 1

    with_registry(act, redis_url, clock=lambda: moment[0])


def test_a_key_with_impossible_limits_takes_no_other_with_it(
    clients: World, redis_url: str
) -> None:
    tenant = clients.tenants["owner"]
    add_key(clients, tenant, "impossible-key")
    with clients.owner.begin() as c:
        # As in a database that was restored without its checks.
        c.exec_driver_sql("ALTER TABLE api_keys DROP CONSTRAINT api_keys_window_calls")
        c.execute(
            text(
                "UPDATE api_keys SET requests_per_window = 3000000, hint = 'z789' WHERE fingerprint = :f"
            ),
            {"f": fingerprint(PROVIDER, "impossible-key")},
        )

    async def act(registry: KeyRegistry) -> None:
        pool = await registry.pool_for(tenant)
        assert keys_of(pool) == named("owners-key")
        await pool.acquire(str(tenant))
        await pool.close()
        registry.invalidate()
        assert await registry.pool_for(tenant) is pool

    with capture_logs() as said:
        with_registry(act, redis_url)
    [line] = [line for line in said if line["event"] == "key_not_usable"]
    assert (line["log_level"], line["key"]) == ("error", "…z789")
    assert "at most 100,000 calls" in line["detail"]
    with system_scope() as connection:
        shown = {key.hint: (key.health, key.why) for key in key_overview(connection, None)}
    health, why = shown["z789"]
    assert health == "unusable"
    assert "at most 100,000 calls" in str(why)
    assert {health for hint, (health, _) in shown.items() if hint != "z789"} == {"unknown"}


def spoil(world: World, secret: str) -> None:
    """Let a stored secret be one that ENCRYPTION_KEYS can't read."""
    with world.owner.begin() as c:
        c.execute(
            text(
                "UPDATE api_keys SET secret_encrypted = 'x', hint = 'lost' WHERE fingerprint = :f"
            ),
            {"f": fingerprint(PROVIDER, secret)},
        )


def test_a_secret_that_cant_be_read_takes_no_other_key_with_it(
    clients: World, redis_url: str
) -> None:
    tenant = clients.tenants["owner"]
    add_key(clients, tenant, "unreadable-key")
    spoil(clients, "unreadable-key")

    async def act(registry: KeyRegistry) -> None:
        assert keys_of(await registry.pool_for(tenant)) == named("owners-key")
        registry.invalidate()
        await registry.pool_for(tenant)

    with capture_logs() as said:
        with_registry(act, redis_url)
    [line] = [line for line in said if line["event"] == "key_not_usable"]
    assert (line["key"], "ENCRYPTION_KEYS" in line["detail"]) == ("…lost", True)


def test_where_no_secret_can_be_read_the_process_says_so_instead_of_having_no_key(
    clients: World, redis_url: str
) -> None:
    """With other ENCRYPTION_KEYS than the rest it would else have the client held for all."""
    spoil(clients, "owners-key")

    async def act(registry: KeyRegistry) -> None:
        with pytest.raises(Misconfigured):
            await registry.pool_for(clients.tenants["owner"])
        assert keys_of(await registry.pool_for(clients.tenants["guest"])) == named("platform-key")

    with_registry(act, redis_url)


def test_a_pool_is_kept_while_one_of_its_clients_uses_it(clients: World, redis_url: str) -> None:
    moment = [1_000.0]
    clients.add_tenant("visitor")

    async def act(registry: KeyRegistry) -> None:
        pool = await registry.pool_for(clients.tenants["guest"])
        moment[0] += 3_000
        assert await registry.pool_for(clients.tenants["visitor"]) is pool
        moment[0] += 3_000
        assert await registry.drop_unused() == 0
        assert set(registry._by_tenant) == {clients.tenants["visitor"]}
        assert await registry.pool_for(clients.tenants["guest"]) is pool

    with_registry(act, redis_url, clock=lambda: moment[0])


def test_an_edit_is_seen_at_the_next_use_also_one_that_comes_while_keys_are_read(
    clients: World, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = clients.tenants["owner"]

    async def act(registry: KeyRegistry) -> None:
        await registry.pool_for(tenant)
        add_key(clients, tenant, "second-key")
        registry.invalidate()
        pool = await registry.pool_for(tenant)
        assert keys_of(pool) == named("owners-key", "second-key")

        registry.invalidate()
        read = registry._load

        async def read_too_early(tenant_id: UUID) -> Any:
            rows = await read(tenant_id)
            add_key(clients, tenant, "third-key")
            registry.invalidate()
            return rows

        monkeypatch.setattr(registry, "_load", read_too_early)
        await registry.pool_for(tenant)
        monkeypatch.setattr(registry, "_load", read)
        pool = await registry.pool_for(tenant)
        assert keys_of(pool) == named("owners-key", "second-key", "third-key")

    with_registry(act, redis_url)


@pytest.mark.parametrize("known", ["at the start", "at the first use"])
def test_who_moves_takes_no_keys_of_the_environment_along(
    clients: World, redis_url: str, known: str
) -> None:
    """The old client's keys would verify the new client's rows."""
    old, new = clients.tenants["owner"], clients.tenants["guest"]
    person = clients.add_user("owner", "owner@example.com")

    async def act(registry: KeyRegistry) -> None:
        if known == "at the first use":
            assert keys_of(await registry.pool_for(old)) == named("carried-key-0001")
        with clients.owner.begin() as c:
            c.execute(text("UPDATE users SET tenant_id = :t"), {"t": new})
        registry.invalidate()
        assert keys_of(await registry.pool_for(new)) == named("platform-key")
        assert keys_of(await registry.pool_for(old)) == named("carried-key-0001")

    owners = {person: old} if known == "at the start" else None
    carried = [Carried(SecretStr("carried-key-0001"), client_id=person)]
    with_registry(act, redis_url, environment=carried, owners=owners)
