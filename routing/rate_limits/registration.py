"""Make keys and their pool known to Redis, also after Redis has lost its state.

A key that Redis does not know starts with a full window behind it, unless the durable ledger says
that it was not used within its longest window; today's count comes from the ledger. Registration is
first come, first served: a key that another process has registered a moment earlier stays as it is.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from routing.rate_limits import calls
from routing.rate_limits.errors import LimitsUnavailable
from routing.rate_limits.limiter import AsyncLimiter, Limiter
from routing.rate_limits.limits import KeyLimits, LimitPolicy, PoolRef, name_pool

#: The ledger's moment of last use may lag this far behind the true one.
LEDGER_LAG_MS = 60_000
#: Two processes that meet a new key at once: the second finds its use begun, by the first, which is about to register
#: it as new. It waits this long before it takes that for a use that Redis has forgotten, and starts the key cold.
YIELD_SECONDS = 0.3


class PriorUse(NamedTuple):
    """What is durably known of a key's use before now: the latest (UTC), and today's count."""

    last_used_at: datetime | None
    used_today: int


class UsageLedger(Protocol):
    """The durable record of keys' use, in PostgreSQL (a dictionary in tests)."""

    def begin_use(self, fingerprint: str) -> PriorUse:
        """Return the key's use before now, and record that its use begins now.

        Called from a thread. `last_used_at` may lag at most `LEDGER_LAG_MS` behind the true last
        use, so an implementation moves it on with every batch of results that it records.
        """
        ...


class Start(NamedTuple):
    """The state a key is registered with; None: no earlier use counts."""

    cold_ms: int | None
    used_today: int

    @property
    def is_cold(self) -> bool:
        """Whether earlier uses may still count."""
        return self.cold_ms is not None


def decide_start(
    limits: KeyLimits, prior: PriorUse, policy: LimitPolicy, now_us: int, last_here_ms: int = 0
) -> Start:
    """Return how a key that Redis does not know starts.

    `last_here_ms` is the latest grant that this process has seen: it knows better than a ledger
    that lags.
    """
    now_ms = now_us // 1_000 + 1
    last_ms = last_here_ms
    if prior.last_used_at is not None:
        last_ms = max(last_ms, int(prior.last_used_at.astimezone(UTC).timestamp() * 1_000))
    if limits.is_unlimited or last_ms == 0 or now_ms - last_ms > limits.longest_ms + LEDGER_LAG_MS:
        return Start(None, prior.used_today)
    # Slots that were reserved before the loss may still be used up to a horizon from now.
    margin = policy.window_margin_ms + policy.spacing_margin_ms
    return Start(policy.horizon_ms + limits.longest_ms + margin, prior.used_today)


def prepare_pool(
    limiter: Limiter, name: str, keys: Sequence[KeyLimits], usage: UsageLedger
) -> PoolRef:
    """Make the keys, their present limits and their pool known. Raises `LimitsUnavailable`."""
    pool = name_pool(name, [key.key_id for key in keys])
    now_us, absent = limiter.run(calls.edit(keys, None))
    starts = [
        (key, decide_start(key, usage.begin_use(key.key_id), limiter.policy, now_us))
        for key in _pick(keys, absent)
    ]
    for is_cold in (False, True):
        chosen = [each for each in starts if each[1].is_cold == is_cold]
        if is_cold and chosen:
            time.sleep(YIELD_SECONDS)
        for key, start in chosen:
            limiter.register(key, cold_ms=start.cold_ms, used_today=start.used_today)
    limiter.define_pool(pool)
    return pool


async def prepare_pool_async(
    limiter: AsyncLimiter,
    pool: PoolRef,
    keys: Sequence[KeyLimits],
    usage: UsageLedger,
    last_here_ms: Mapping[str, int],
) -> None:
    """Do as `prepare_pool` on a loop; the ledger is asked in a thread."""
    now_us, absent = await limiter.run(calls.edit(keys, None))
    new = _pick(keys, absent)
    prior = await asyncio.to_thread(_ask, usage.begin_use, new) if new else []
    starts = [
        (key, decide_start(key, use, limiter.policy, now_us, last_here_ms.get(key.key_id, 0)))
        for key, use in zip(new, prior, strict=True)
    ]
    for is_cold in (False, True):
        chosen = [each for each in starts if each[1].is_cold == is_cold]
        if is_cold and chosen:
            await asyncio.sleep(YIELD_SECONDS)
        for key, start in chosen:
            await limiter.run(calls.register(key, start.cold_ms, start.used_today, None))
    if keys:
        await limiter.run(calls.define_pool(pool))


def _pick(keys: Sequence[KeyLimits], ids: Sequence[str]) -> list[KeyLimits]:
    wanted = set(ids)
    return [key for key in keys if key.key_id in wanted]


def _ask(begin_use: Callable[[str], PriorUse], keys: Sequence[KeyLimits]) -> list[PriorUse]:
    try:
        return [begin_use(key.key_id) for key in keys]
    except Exception as error:
        raise LimitsUnavailable(
            "The record of keys' use can't be read, so no key is used. Check DATABASE_URL.",
            retry_after=1,
        ) from error
