"""Counting up in a window of time and looking at it, in one exchange with Redis where `limits` takes three."""

import math
import time
from collections.abc import Sequence
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

#: The same for several counters in turn. KEYS: the counters. ARGV: of each the window's seconds, and how many it allows. Ends
#: with the first that has more, so there may be fewer answers than counters.
_COUNT_IN_TURN = """
local all = {}
for i, key in ipairs(KEYS) do
  local n = redis.call('INCR', key)
  local left = redis.call('PTTL', key)
  if n == 1 or left < 0 then
    redis.call('EXPIRE', key, ARGV[2 * i - 1])
    left = ARGV[2 * i - 1] * 1000
  end
  all[#all + 1] = n
  all[#all + 1] = left
  if n > tonumber(ARGV[2 * i]) then break end
end
return all
"""


def count_in_turn(
    strategy: RateLimiter, limits: Sequence[tuple[RateLimitItem, Sequence[str]]]
) -> list[tuple[int, int]]:
    """Count one more for each limit with its names, up to the first that has more than it allows; answer as `count_up`, of each.

    Raises whatever the store raises, and `TypeError` for one that is not Redis.
    """
    store = strategy.storage
    if not isinstance(store, RedisStorage):
        raise TypeError("Only Redis counts in turn.")
    keys = [store.prefixed_key(limit.key_for(*names)) for limit, names in limits]
    args = [number for limit, _ in limits for number in (limit.get_expiry(), limit.amount)]
    answer = _script(store, _COUNT_IN_TURN)(keys=keys, args=args)
    return [(int(n), _seconds(left)) for n, left in zip(answer[::2], answer[1::2], strict=True)]


def _seconds(milliseconds: str | int) -> int:
    return max(1, math.ceil(int(milliseconds) / 1000))


def count_up(strategy: RateLimiter, limit: RateLimitItem, *names: str) -> tuple[int, int]:
    """Count one more; return how many there are in the present window, and the seconds until it ends, at least 1.

    Raises whatever the store raises.
    """
    store = strategy.storage
    if isinstance(store, RedisStorage):
        key = store.prefixed_key(limit.key_for(*names))
        count, left = _script(store, _COUNT)(keys=[key], args=[limit.get_expiry()])
        return int(count), _seconds(left)
    # In this process's memory while Redis is away.
    strategy.hit(limit, *names)
    key = limit.key_for(*names)
    # The window may have ended since it was counted.
    return max(1, store.get(key)), max(1, math.ceil(store.get_expiry(key) - time.time()))


@lru_cache(maxsize=8)
def _script(store: RedisStorage, text: str) -> Script:
    return store.get_connection().register_script(text.encode())
