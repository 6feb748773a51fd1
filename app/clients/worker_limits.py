"""The limits of a client's keys as the variables of its worker's environment say them, never wider than the keys' own."""

from collections.abc import Sequence
from math import ceil

from app.clients.keys import WINDOW_SECONDS, KeyFacts
from app.plain_text import escaped

#: Where a key has no such limit but the variable wants a number.
NO_LIMIT = 0
DAY_MS = 86_400_000


def place_for(key: KeyFacts) -> str:
    """Return what stands where a key's secret belongs."""
    return f"<key ending in …{escaped(key.hint)}>"


def limit_lists(keys: Sequence[KeyFacts]) -> dict[str, str]:
    """Return the variables with a number for each key, in the keys' order."""

    def joined(numbers: Sequence[int]) -> str:
        return ",".join(map(str, numbers))

    return {
        "MAILTESTER_KEY_SPACINGS": joined([_spacing_ms(key) for key in keys]),
        "MAILTESTER_KEY_DAILY_LIMITS": joined([key.daily_limit or NO_LIMIT for key in keys]),
        "MAILTESTER_KEY_REQUESTS_PER_30S": joined([_per_30s(key) for key in keys]),
    }


def _per_30s(key: KeyFacts) -> int:
    """Return the calls that a window of 30 s may have so that all of the key's windows hold that it can keep."""
    fits = [_in_30s(calls, seconds) for calls, seconds in key.windows]
    return min((calls for calls in fits if calls), default=NO_LIMIT)


def _in_30s(calls: int, seconds: int) -> int:
    """Return how many calls each 30 s may have so that a window holds; 0: not even one.

    A shorter window may be met by all of them at once, a longer one by as many 30 s as it touches.
    """
    return calls // ceil(max(seconds, WINDOW_SECONDS) / WINDOW_SECONDS)


def _spacing_ms(key: KeyFacts) -> int:
    """Return the spacing with which also those limits hold that are no window of 30 s and no day from 0:00 UTC."""
    spread = [
        ceil(seconds * 1000 / calls)
        for calls, seconds in key.windows
        if not _in_30s(calls, seconds)
    ]
    if key.daily_limit and key.reset_hour:
        spread.append(ceil(DAY_MS / key.daily_limit))
    return max(key.spacing_ms, *spread, 0)


def is_narrowed(key: KeyFacts) -> bool:
    """Whether the variables can't say a key's limits, so that they are narrower."""
    others = [window for window in key.windows if window[1] != WINDOW_SECONDS]
    return bool(others or key.reset_hour) or _spacing_ms(key) != key.spacing_ms
