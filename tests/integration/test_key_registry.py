"""Which keys serve which client: its own before the platform's, the environment's where it stands for them."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.crypto import encrypt, fingerprint
from app.settings import get_settings
from app.verification.key_registry import PROVIDER, KeyRegistry
from app.verification.key_usage import KeyUsage
from routing.key_pool import KeyPool
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


@pytest.fixture
def clients(world: World, environment: Environment) -> Iterator[World]:
    """A client with a key of its own, one without, and a key of the platform."""
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
        await act(KeyRegistry(get_settings(), limiter, KeyUsage(), asyncio.to_thread, **settings))
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


@pytest.mark.parametrize("is_dedicated", [True, False])
def test_keys_of_the_environment_stand_for_the_platforms_and_a_clients_own_worker_knows_best(
    clients: World, redis_url: str, is_dedicated: bool
) -> None:
    async def act(registry: KeyRegistry) -> None:
        own = await registry.pool_for(clients.tenants["owner"])
        shared = await registry.pool_for(clients.tenants["guest"])
        assert keys_of(own) == named("carried-key-0001" if is_dedicated else "owners-key")
        assert keys_of(shared) == named("carried-key-0001")

    with_registry(
        act,
        redis_url,
        environment=[Carried(SecretStr("carried-key-0001"))],
        is_dedicated=is_dedicated,
    )


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
