"""Provider limits: spacing, exact windows and daily quotas of keys, kept in Redis by Lua scripts.

One atomic call picks the key that is free first and the moment to use it. `reserve.lua` documents
what Redis holds; `Limiter` and `AsyncLimiter` are the way in. Redis away: no call is made.
"""

from routing.rate_limits.errors import LimitsUnavailable, Throttled
from routing.rate_limits.limiter import AsyncLimiter, Limiter
from routing.rate_limits.limits import (
    KeyLimits,
    KeyState,
    LimitPolicy,
    PoolRef,
    Report,
    Reservation,
    Slot,
    Window,
    name_pool,
)
from routing.rate_limits.registration import PriorUse, UsageLedger, prepare_pool

__all__ = [
    "AsyncLimiter",
    "KeyLimits",
    "KeyState",
    "LimitPolicy",
    "Limiter",
    "LimitsUnavailable",
    "PoolRef",
    "PriorUse",
    "Report",
    "Reservation",
    "Slot",
    "Throttled",
    "UsageLedger",
    "Window",
    "name_pool",
    "prepare_pool",
]
