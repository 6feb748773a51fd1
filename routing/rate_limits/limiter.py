"""The provider limits, for threads (`Limiter`) and for an asyncio loop (`AsyncLimiter`).

Both run the same scripts (`calls.py`); each method is one round trip and atomic. Where Redis does not
answer, or answers with an error, they raise `LimitsUnavailable`: without the limits no call is made.
A reservation that is repeated after a lost reply can only waste a slot, never exceed a limit.
`now_ms` is for tests; the server's own clock is used otherwise.
"""

from collections.abc import Mapping, Sequence
from typing import Self, TypeVar

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from routing.rate_limits import calls
from routing.rate_limits.calls import Call
from routing.rate_limits.errors import LimitsUnavailable
from routing.rate_limits.limits import (
    KeyLimits,
    KeyState,
    LimitPolicy,
    Move,
    PoolRef,
    Report,
    Reservation,
)

T = TypeVar("T")
SOCKET_TIMEOUT_SECONDS = 2.0
#: A waiter is told within seconds that the limits are away: three tries, then the caller decides.
RETRIES = 2
_RETRIED = (RedisConnectionError, RedisTimeoutError)


def _backoff() -> ExponentialBackoff:
    return ExponentialBackoff(cap=0.2, base=0.02)


def _unavailable(error: Exception) -> LimitsUnavailable:
    return LimitsUnavailable(
        f"The Redis with the provider limits does not answer ({type(error).__name__}). "
        "No provider is called until it does; check RATE_LIMIT_REDIS_URL or REDIS_URL.",
        retry_after=1,
    )


class Limiter:
    """The limits, for threads. Safe to share between them."""

    def __init__(self, client: redis.Redis, policy: LimitPolicy | None = None) -> None:
        self._client = client
        self.policy = policy or LimitPolicy()

    @classmethod
    def connect(cls, url: str, policy: LimitPolicy | None = None) -> Self:
        """Return a limiter of its own connections, made when needed, after a fork."""
        client = redis.Redis.from_url(
            url,
            socket_timeout=SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
            health_check_interval=5,
            retry=Retry(_backoff(), RETRIES, supported_errors=_RETRIED),
        )
        return cls(client, policy)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def run(self, call: Call[T]) -> T:
        """Run one call. Raises `LimitsUnavailable`."""
        words = (*call.keys, *call.args)
        try:
            try:
                reply = self._client.evalsha(call.script.digest, len(call.keys), *words)
            except NoScriptError:
                reply = self._client.eval(call.script.source, len(call.keys), *words)
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error
        return call.read(reply)

    def edit(self, keys: Sequence[KeyLimits], *, now_ms: int | None = None) -> list[str]:
        """Write the limits of known keys, kept state and all. Returns the ids that are unknown."""
        return self.run(calls.edit(keys, now_ms))[1]

    def register(
        self,
        key: KeyLimits,
        *,
        cold_ms: int | None = None,
        used_today: int = 0,
        now_ms: int | None = None,
    ) -> bool:
        """Register a key unless it is known; tell whether this call did.

        Nothing is granted for `cold_ms` from now; None means that it was not used within any window.
        """
        return bool(self.run(calls.register(key, cold_ms, used_today, now_ms))[1])

    def define_pool(self, pool: PoolRef) -> list[str]:
        """Put registered keys into their pool. Returns the ids that are not registered."""
        return self.run(calls.define_pool(pool)) if pool.key_ids else []

    def reserve(
        self,
        pool: PoolRef,
        n: int = 1,
        *,
        horizon_ms: int | None = None,
        slack_ms: int = 0,
        holder: str = "",
        now_ms: int | None = None,
    ) -> Reservation:
        """Reserve up to `n` calls on the keys that are free first."""
        return self.run(
            calls.reserve(
                self.policy,
                pool,
                n,
                horizon_ms=horizon_ms,
                slack_ms=slack_ms,
                holder=holder,
                now_ms=now_ms,
            )
        )

    def report(self, reports: Sequence[Report], *, now_ms: int | None = None) -> list[str]:
        """Take in several reports at once. Returns one circuit state each, '' for unknown keys."""
        return self.run(calls.feedback(self.policy, reports, now_ms))

    def throttled(
        self,
        key_id: str,
        retry_after_ms: int,
        *,
        granted_at_ms: int | None = None,
        now_ms: int | None = None,
    ) -> str:
        """Make the key wait and widen its spacing by 1.5, once for a burst (`granted_at_ms`)."""
        report = Report("throttled", key_id, str(retry_after_ms), granted_at_ms)
        return self.report([report], now_ms=now_ms)[0]

    def clean(self, key_id: str, n: int = 1, *, now_ms: int | None = None) -> str:
        """Count clean calls: each 100 narrow a widened spacing; one closes a half-open circuit."""
        return self.report(calls.clean_reports({key_id: n}), now_ms=now_ms)[0]

    def succeeded(self, key_id: str, *, now_ms: int | None = None) -> str:
        """Report a probe that went well: the circuit closes."""
        return self.clean(key_id, 1, now_ms=now_ms)

    def unauthorized(self, key_id: str, why: str = "", *, now_ms: int | None = None) -> str:
        """Open the key's circuit at once."""
        return self.report([Report("unauthorized", key_id, why)], now_ms=now_ms)[0]

    def failed(self, key_id: str, why: str = "", *, now_ms: int | None = None) -> str:
        """Count an error: five within a minute open the circuit, a failed probe opens it again."""
        return self.report([Report("failed", key_id, why)], now_ms=now_ms)[0]

    def reset(self, key_id: str, *, now_ms: int | None = None) -> str:
        """Close the key's circuit by hand."""
        return self.report([Report("reset", key_id)], now_ms=now_ms)[0]

    def postpone(self, moves: Sequence[Move]) -> list[bool]:
        """Move the latest grants of keys; False for a key where a later one is out."""
        return self.run(calls.postpone(self.policy, moves))

    def describe(
        self, key_ids: Sequence[str], *, now_ms: int | None = None
    ) -> Mapping[str, KeyState]:
        """Tell how the keys stand; unknown ones are left out."""
        return self.run(calls.describe(self.policy, key_ids, now_ms)) if key_ids else {}


class AsyncLimiter:
    """The limits, for one asyncio loop: what a `KeyPool` needs of them."""

    def __init__(self, client: redis.asyncio.Redis, policy: LimitPolicy | None = None) -> None:
        self._client = client
        self.policy = policy or LimitPolicy()

    @classmethod
    def connect(cls, url: str, policy: LimitPolicy | None = None) -> Self:
        """Return a limiter of its own connections, to be used on one loop."""
        client = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
            health_check_interval=5,
            retry=AsyncRetry(_backoff(), RETRIES, supported_errors=_RETRIED),
        )
        return cls(client, policy)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def run(self, call: Call[T]) -> T:
        """Run one call. Raises `LimitsUnavailable`."""
        words = (*call.keys, *call.args)
        try:
            try:
                reply = await self._client.evalsha(call.script.digest, len(call.keys), *words)
            except NoScriptError:
                reply = await self._client.eval(call.script.source, len(call.keys), *words)
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error
        return call.read(reply)

    async def reserve(
        self,
        pool: PoolRef,
        n: int = 1,
        *,
        horizon_ms: int | None = None,
        slack_ms: int = 0,
        holder: str = "",
    ) -> Reservation:
        """Reserve up to `n` calls on the keys that are free first."""
        return await self.run(
            calls.reserve(
                self.policy,
                pool,
                n,
                horizon_ms=horizon_ms,
                slack_ms=slack_ms,
                holder=holder,
                now_ms=None,
            )
        )

    async def report(self, reports: Sequence[Report]) -> list[str]:
        """Take in several reports at once. Returns one circuit state each, '' for unknown keys."""
        return await self.run(calls.feedback(self.policy, reports, None))

    async def postpone(self, moves: Sequence[Move]) -> list[bool]:
        """Move the latest grants of keys; False for a key where a later one is out."""
        return await self.run(calls.postpone(self.policy, moves))

    async def describe(self, key_ids: Sequence[str]) -> Mapping[str, KeyState]:
        """Tell how the keys stand; unknown ones are left out."""
        return await self.run(calls.describe(self.policy, key_ids, None)) if key_ids else {}
