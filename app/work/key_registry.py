"""Which keys serve which client in this process, with one provider.

Keys of a dedicated worker's environment serve the client that they are named for, and nobody else; they win over the
table's. Where a person names the client, it is the one of when the worker began: who moves takes no keys along. Otherwise the client's policy decides between its own enabled keys of the database and the platform's; keys of a
shared worker's environment stand for the platform's. Clients that share keys share one `KeyPool`, which takes them in
turns by their weights. Rows are read again when PostgreSQL notifies an edit, and every half minute in case a notice was
missed; what nobody has used for an hour is dropped.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import Connection, Row, text

from app.db.scope import tenant_scope
from app.errors import Misconfigured
from app.settings import Settings
from app.work.key_forms import (
    EnvironmentKey,
    provider_key,
    public_facts,
    stored_key,
)
from app.work.key_usage import KeyUsage
from app.work.tools import InThread
from routing.key_pool import KeyPool, ProviderKey
from routing.rate_limits.limiter import AsyncLimiter
from routing.rate_limits.limits import LimitPolicy

__all__ = ["EnvironmentKey", "KeyRegistry", "public_facts"]
log = structlog.get_logger(__name__)
REFRESH_SECONDS = 30.0
#: A client that asked for no key for so long, as one that was rerouted away, costs this process nothing more.
UNUSED_SECONDS = 3600.0

#: With which of the named clients this tenant is: by its own id, or by that of one of its people.
_CLIENT = text("""
    SELECT weight, key_policy,
        ARRAY(SELECT c FROM unnest(CAST(:clients AS uuid[])) AS c
            WHERE c = tenants.id OR c IN (SELECT id FROM users)) AS named
    FROM tenants
""")
_OWNERS = text("""
    SELECT c AS named, l.tenant_id FROM unnest(CAST(:clients AS uuid[])) AS c CROSS JOIN LATERAL client_lane(c) l
""")
_KEYS = text("SELECT * FROM keys_for(:tenant, :provider)")


@dataclass(slots=True)
class _Kept:
    """A pool, and when somebody last asked for it, on the monotonic clock."""

    pool: KeyPool
    used_at: float


@dataclass(slots=True)
class _Serving:
    """The pool of a client, until when its keys need not be read again, and when the client last asked."""

    kept: _Kept
    fresh_until: float
    used_at: float


class _Choice(NamedTuple):
    """The keys of a client, by the name of their pool, and the client's weight."""

    pool: str
    keys: Sequence[ProviderKey]
    weight: float


class KeyRegistry:
    """The key pools of one process with one provider; used on its loop, `invalidate` from any thread."""

    def __init__(
        self,
        provider: str,
        limiter: AsyncLimiter,
        usage: KeyUsage,
        in_thread: InThread,
        *,
        environment: Iterable[EnvironmentKey] = (),
        owners: Mapping[UUID, UUID] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._limiter = limiter
        self._usage = usage
        self._in_thread = in_thread
        self._clock = clock
        #: Client id, None for the platform -> keys of the environment.
        self._environment: dict[UUID | None, list[ProviderKey]] = {}
        for key in environment:
            self._environment.setdefault(key.client_id, []).append(provider_key(key))
        #: Client id -> tenant id, as it was first looked up (`owners`: when the worker began).
        self._owners: dict[UUID, UUID] = dict(owners or {})
        #: Tenant id -> weight; the pools look here at every turn.
        self._weights: dict[str, float] = {}
        self._pools: dict[str, _Kept] = {}
        self._by_tenant: dict[UUID, _Serving] = {}
        self._loading: dict[UUID, asyncio.Lock] = {}
        self._edits = 0
        #: Keys of which was said that they can't be used, each by its version.
        self._told: set[tuple[str, datetime]] = set()

    @staticmethod
    def policy(settings: Settings) -> LimitPolicy:
        """Return the limiter's policy that the environment sets."""
        return LimitPolicy.from_settings(settings)

    def invalidate(self) -> None:
        """Read the keys again at the next use."""
        self._edits += 1
        for serving in list(self._by_tenant.values()):
            serving.fresh_until = 0.0

    async def pool_for(self, tenant_id: UUID) -> KeyPool:
        """Return the pool that serves a client; it may be empty, and then says `no_keys`."""
        if (pool := self._fresh_pool(tenant_id)) is not None:
            return pool
        async with self._loading.setdefault(tenant_id, asyncio.Lock()):
            if (pool := self._fresh_pool(tenant_id)) is not None:
                return pool
            edits = self._edits
            name, keys, self._weights[str(tenant_id)] = await self._load(tenant_id)
            now = self._clock()
            kept = self._keep(name, keys, now)
            # An edit that was notified while the rows were on their way may not be in them.
            is_current = edits == self._edits
            self._by_tenant[tenant_id] = _Serving(
                kept, now + REFRESH_SECONDS if is_current else 0.0, now
            )
            return kept.pool

    async def drop_unused(self) -> int:
        """Forget clients and close pools that nobody asked for in an hour; return how many pools."""
        before = self._clock() - UNUSED_SECONDS
        for tenant in [t for t, serving in self._by_tenant.items() if serving.used_at < before]:
            del self._by_tenant[tenant]
            self._weights.pop(str(tenant), None)
            lock = self._loading.get(tenant)
            # A client that is just asking again keeps its lock, and is known again when it has its answer.
            if lock is not None and not lock.locked():
                del self._loading[tenant]
        names = [name for name, kept in self._pools.items() if kept.used_at < before]
        dropped = [self._pools.pop(name) for name in names]
        for kept in dropped:
            await kept.pool.close()
        return len(dropped)

    def _fresh_pool(self, tenant_id: UUID) -> KeyPool | None:
        serving, now = self._by_tenant.get(tenant_id), self._clock()
        if serving is None or serving.fresh_until <= now:
            return None
        serving.used_at = serving.kept.used_at = now
        return serving.kept.pool

    def _keep(self, name: str, keys: Sequence[ProviderKey], now: float) -> _Kept:
        kept = self._pools.get(name)
        if kept is None:
            pool = KeyPool(name, keys, self._limiter, self._usage, weights=self._weights)
            kept = self._pools[name] = _Kept(pool, now)
        else:
            kept.pool.update_keys(keys)
            kept.used_at = now
        return kept

    async def _load(self, tenant_id: UUID) -> _Choice:
        clients = [client for client in self._environment if client is not None]

        def read() -> _Choice:
            with tenant_scope(tenant_id) as connection:
                self._know_owners(connection, clients)
                client = connection.execute(_CLIENT, {"clients": clients}).one_or_none()
                rows = connection.execute(
                    _KEYS, {"tenant": tenant_id, "provider": self._provider}
                ).all()
            if client is None:
                # Removed just now. No key may serve it, and no pool of others may be emptied for it.
                return _Choice(f"{self._provider}:tenant:{tenant_id}", [], 1)
            return self._choose(tenant_id, client, rows)

        return await self._in_thread(read)

    def _know_owners(self, connection: Connection, clients: Sequence[UUID]) -> None:
        """Look up once whom the environment's clients stand for; one that is not there yet may come."""
        if unknown := [client for client in clients if client not in self._owners]:
            for row in connection.execute(_OWNERS, {"clients": unknown}):
                self._owners.setdefault(row.named, row.tenant_id)

    def _choose(self, tenant_id: UUID, client: Row[Any], rows: Sequence[Row[Any]]) -> _Choice:
        weight = float(client.weight)
        for moved in (named for named in client.named if self._owners.get(named) != tenant_id):
            log.warning("environment_keys_refused", client_id=str(moved), tenant_id=str(tenant_id))
        named = [
            named for named in self._environment if named and self._owners.get(named) == tenant_id
        ]
        if named:
            carried = [key for name in named for key in self._environment[name]]
            return _Choice(f"{self._provider}:environment:{tenant_id}", carried, weight)
        # Also without keys a pool of its own: the platform's is shared, and must not be emptied for one client.
        if client.key_policy == "own" or any(row.tenant_id is not None for row in rows):
            return _Choice(f"{self._provider}:tenant:{tenant_id}", self._usable(rows), weight)
        if None in self._environment:
            return _Choice(f"{self._provider}:environment", self._environment[None], weight)
        return _Choice(f"{self._provider}:platform", self._usable(rows), weight)

    def _usable(self, rows: Sequence[Row[Any]]) -> list[ProviderKey]:
        """Return the keys without those that can't be used, for their limits or their secret: the others go on.

        Raises `Misconfigured` where no key is left for want of a secret that can be read: this process may have other
        ENCRYPTION_KEYS than the rest, and must not have the client held as if it had no key.
        """
        keys: list[ProviderKey] = []
        unreadable: Misconfigured | None = None
        for row in rows:
            try:
                key = stored_key(row)
            except Misconfigured as error:
                unreadable = error
                self._tell(row, error)
                continue
            try:
                _ = key.limits
            except Misconfigured as error:
                self._tell(row, error)
            else:
                keys.append(key)
        if unreadable is not None and not keys:
            raise unreadable
        return keys

    def _tell(self, row: Row[Any], error: Misconfigured) -> None:
        """Log once of each version of a key that it can't be used."""
        version = (row.fingerprint, row.updated_at)
        if version not in self._told:
            self._told.add(version)
            log.error("key_not_usable", key=f"…{row.hint}", detail=error.message)
