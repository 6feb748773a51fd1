"""Which keys serve which client in this process.

A dedicated worker's environment keys win for its client. Otherwise the client's own enabled keys of the database, else
the platform's; on a shared worker keys of the environment stand for the platform's. Clients that share keys share one
`KeyPool`, which takes them in turns by their weights. Rows are read again when
PostgreSQL notifies an edit, and every half minute in case a notice was missed.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import Row, text

from app.crypto import decrypt, fingerprint, hint
from app.db.scope import tenant_scope
from app.settings import Settings
from app.verification.key_usage import KeyUsage
from app.verification.tools import InThread
from routing.key_pool import KeyPool, ProviderKey
from routing.rate_limits.limiter import AsyncLimiter
from routing.rate_limits.limits import LimitPolicy

PROVIDER = "mailtester"
REFRESH_SECONDS = 30.0
ENVIRONMENT_WINDOW_SECONDS = 30

_WEIGHT = text("SELECT weight FROM tenants")
_KEYS = text("SELECT * FROM keys_for(:tenant, :provider)")


class EnvironmentKey(Protocol):
    """A key of the worker's environment with its limits."""

    @property
    def secret(self) -> SecretStr: ...
    @property
    def spacing_ms(self) -> int: ...
    @property
    def daily_limit(self) -> int: ...
    @property
    def requests_per_30s(self) -> int: ...


class KeyRegistry:
    """The key pools of one process; used on its loop, `invalidate` from any thread."""

    def __init__(
        self,
        settings: Settings,
        limiter: AsyncLimiter,
        usage: KeyUsage,
        in_thread: InThread,
        *,
        environment: Sequence[EnvironmentKey] = (),
        is_dedicated: bool = False,
    ) -> None:
        self._settings = settings
        self._limiter = limiter
        self._usage = usage
        self._in_thread = in_thread
        self._environment = [provider_key(key) for key in environment]
        self._is_dedicated = is_dedicated
        #: Tenant id -> weight; the pools look here at every turn.
        self._weights: dict[str, float] = {}
        self._pools: dict[str, KeyPool] = {}
        self._by_tenant: dict[UUID, tuple[float, KeyPool]] = {}
        self._loading: dict[UUID, asyncio.Lock] = {}
        self._edits = 0

    @staticmethod
    def policy(settings: Settings) -> LimitPolicy:
        """Return the limiter's policy that the environment sets."""
        return LimitPolicy.from_settings(settings)

    def invalidate(self) -> None:
        """Read the keys again at the next use."""
        self._edits += 1
        self._by_tenant = {
            tenant: (0.0, pool) for tenant, (_, pool) in list(self._by_tenant.items())
        }

    async def pool_for(self, tenant_id: UUID) -> KeyPool:
        """Return the pool that serves a client; it may be empty, and then says `no_keys`."""
        known = self._by_tenant.get(tenant_id)
        if known and known[0] > time.monotonic():
            return known[1]
        async with self._loading.setdefault(tenant_id, asyncio.Lock()):
            known = self._by_tenant.get(tenant_id)
            if known and known[0] > time.monotonic():
                return known[1]
            edits = self._edits
            name, keys, self._weights[str(tenant_id)] = await self._load(tenant_id)
            pool = self._pools.get(name)
            if pool is None:
                pool = self._pools[name] = KeyPool(
                    name, keys, self._limiter, self._usage, weights=self._weights
                )
            else:
                pool.update_keys(keys)
            # An edit that was notified while the rows were on their way may not be in them.
            is_current = edits == self._edits
            self._by_tenant[tenant_id] = (
                time.monotonic() + REFRESH_SECONDS if is_current else 0.0,
                pool,
            )
            return pool

    async def _load(self, tenant_id: UUID) -> tuple[str, list[ProviderKey], float]:
        def read() -> tuple[str, list[ProviderKey], float]:
            with tenant_scope(tenant_id) as connection:
                weight = float(connection.execute(_WEIGHT).scalar_one_or_none() or 1)
                rows = connection.execute(_KEYS, {"tenant": tenant_id, "provider": PROVIDER}).all()
            own = any(row.tenant_id is not None for row in rows)
            if self._environment and (self._is_dedicated or not own):
                return "environment", self._environment, weight
            return (
                f"tenant:{tenant_id}" if own else "platform",
                [_stored(row) for row in rows],
                weight,
            )

        return await self._in_thread(read)


def _stored(row: Row[Any]) -> ProviderKey:
    per_window = row.requests_per_window
    return ProviderKey(
        fingerprint=row.fingerprint,
        secret=SecretStr(decrypt(row.secret_encrypted)),
        hint=row.hint,
        spacing_ms=row.spacing_ms,
        windows=(
            *(((per_window, row.window_seconds * 1000),) if per_window else ()),
            *((extra["requests"], extra["seconds"] * 1000) for extra in row.extra_windows),
        ),
        daily_limit=row.daily_limit,
        reset_hour=row.reset_hour,
        # A process that still has the row as it was must not put the old limits back.
        version=int(row.updated_at.timestamp() * 1_000),
    )


def public_facts(key: EnvironmentKey) -> dict[str, object]:
    """Return what may be shown of a key of the environment: never the secret."""
    known = provider_key(key)
    return {
        "fingerprint": known.fingerprint,
        "hint": known.hint,
        "spacing_ms": key.spacing_ms,
        "requests_per_window": key.requests_per_30s,
        "window_seconds": ENVIRONMENT_WINDOW_SECONDS,
        "daily_limit": key.daily_limit,
    }


def provider_key(key: EnvironmentKey) -> ProviderKey:
    """Return a key of the environment in the pool's form."""
    secret = key.secret.get_secret_value()
    return ProviderKey(
        fingerprint=fingerprint(PROVIDER, secret),
        secret=key.secret,
        hint=hint(secret),
        spacing_ms=key.spacing_ms,
        windows=((key.requests_per_30s, ENVIRONMENT_WINDOW_SECONDS * 1000),),
        daily_limit=key.daily_limit,
    )
