"""What the limits of a key may be, so that no worker ever meets impossible ones."""

from collections.abc import Iterable, Sequence
from typing import Any

from app.errors import InvalidInput, Misconfigured
from routing.rate_limits.limits import KeyLimits, Window

_LARGEST = 2_147_483_647


def check_limits(
    spacing_ms: Any, windows: Sequence[tuple[Any, ...]], daily_limit: Any, reset_hour: Any
) -> None:
    """Raise `InvalidInput` for limits that can't be, together; windows are (calls, seconds) each."""
    numbers = [spacing_ms, reset_hour, *(number for window in windows for number in window)]
    numbers += [] if daily_limit is None else [daily_limit]
    whole = [n for n in numbers if isinstance(n, int) and not isinstance(n, bool)]
    if len(whole) != len(numbers) or any(abs(n) > _LARGEST for n in whole):
        raise InvalidInput("Limits are whole numbers below two thousand million.")
    if any(len(window) != 2 for window in windows):
        raise InvalidInput("A window is a number of calls and a number of seconds.")
    try:
        KeyLimits(
            key_id="checked",
            spacing_ms=spacing_ms,
            windows=tuple(Window(calls, seconds * 1000) for calls, seconds in windows),
            daily_limit=daily_limit,
            reset_hour=reset_hour,
        )
    except Misconfigured as error:
        raise InvalidInput(error.message) from error


def windows_as_json(windows: Iterable[tuple[int, int]]) -> list[dict[str, int]]:
    """Return windows as `api_keys.extra_windows` has them."""
    return [{"requests": calls, "seconds": seconds} for calls, seconds in windows]
