"""Counting up in a window of time and looking at it, in one exchange with Redis where `limits` takes three."""

import math
import time
from functools import lru_cache

from limits import RateLimitItem
from limits.storage import RedisStorage
from limits.strategies import RateLimiter
from redis.commands.core import Script

#: KEYS: the counter. ARGV: the window's seconds. Answers the count and the milliseconds that are left of the window.
#: The same counter as `limits` keeps: whoever counts by one finds what was counted by the other.
_COUNT = """
local n = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if n == 1 or left < 0 then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
  left = ARGV[1] * 1000
end
return {n, left}
"""


def count_up(strategy: RateLimiter, limit: RateLimitItem, *names: str) -> tuple[int, int]:
    """Count one more; return how many there are in the present window, and the seconds until it ends, at least 1.

    Raises whatever the store raises.
    """
    store = strategy.storage
    if isinstance(store, RedisStorage):
        key = store.prefixed_key(limit.key_for(*names))
        count, left = _script(store)(keys=[key], args=[limit.get_expiry()])
        return int(count), max(1, math.ceil(int(left) / 1000))
    # In this process's memory while Redis is away.
    strategy.hit(limit, *names)
    key = limit.key_for(*names)
    # The window may have ended since it was counted.
    return max(1, store.get(key)), max(1, math.ceil(store.get_expiry(key) - time.time()))


@lru_cache(maxsize=8)
def _script(store: RedisStorage) -> Script:
    return store.get_connection().register_script(_COUNT.encode())
