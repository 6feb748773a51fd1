"""What keys give: calls a second and a day, and what binds.

Exact arithmetic. Spacing 250 ms with 165 per 30 s: spacing binds, 4 a second, 345,600 a day. 125 ms: the window binds, 5.5 a
second, 475,200 a day. A daily limit binds only where it is below what the speed would give in a day.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Literal, Protocol

Bound = Literal["spacing", "window", "quota", "none"]
DAY_SECONDS = 86_400


class HasLimits(Protocol):
    """A key's limits: NewKey, KeyFacts, or anything with these."""

    @property
    def spacing_ms(self) -> int:
        """Between two calls; 0: none."""

    @property
    def windows(self) -> Sequence[tuple[int, int]]:
        """(calls, seconds) each."""

    @property
    def daily_limit(self) -> int | None:
        """Calls a day; None: none."""


@dataclass(frozen=True)
class KeyCapacity:
    """What one key gives; None: without limit. `binds` is what holds its speed, `day_binds` its day."""

    per_second: float | None
    per_day: int | None
    binds: Bound
    day_binds: Bound


@dataclass(frozen=True)
class Capacity:
    """What keys give together: number of keys, calls a second and a day (None: without limit)."""

    keys: int
    per_second: float | None
    per_day: int | None
    each: tuple[KeyCapacity, ...] = ()

    @property
    def binds(self) -> tuple[Bound, ...]:
        """What holds the speed of its keys, without repetition."""
        return tuple(dict.fromkeys(key.binds for key in self.each))

    @property
    def day_binds(self) -> tuple[Bound, ...]:
        """What holds its keys' day, without repetition."""
        return tuple(dict.fromkeys(key.day_binds for key in self.each))


def capacity(limits: Iterable[HasLimits]) -> Capacity:
    """Return what keys with these limits give together."""
    keys = list(limits)
    each = tuple(_one(key) for key in keys)
    rates = [_speed(key)[0] for key in keys]
    days = [key.per_day for key in each]
    return Capacity(
        keys=len(keys),
        per_second=None
        if None in rates
        else float(sum(rate for rate in rates if rate is not None)),
        per_day=None if None in days else sum(day for day in days if day is not None),
        each=each,
    )


def _speed(key: HasLimits) -> tuple[Fraction | None, Bound]:
    """Return the calls a second that a key allows for ever, and what holds it to them."""
    bounds: list[tuple[Fraction, Bound]] = [
        (Fraction(calls, seconds), "window") for calls, seconds in key.windows
    ]
    if key.spacing_ms:
        bounds.append((Fraction(1000, key.spacing_ms), "spacing"))
    return min(bounds, default=(None, "none"), key=lambda bound: bound[0])


def _one(key: HasLimits) -> KeyCapacity:
    rate, binds = _speed(key)
    day = None if rate is None else floor(rate * DAY_SECONDS)
    day_binds = binds
    if key.daily_limit is not None and (day is None or key.daily_limit < day):
        day, day_binds = key.daily_limit, "quota"
    return KeyCapacity(None if rate is None else float(rate), day, binds, day_binds)


_WORDS: dict[Bound, str] = {
    "spacing": "the spacing between two calls",
    "window": "the calls allowed in a window of time",
    "quota": "the calls allowed in a day",
    "none": "nothing",
}


def describe(found: Capacity) -> str:
    """Say a capacity in a line: keys, speed, day, and what holds them."""
    if not found.keys:
        return "no key, so nothing is verified"
    keys = f"{found.keys} key{'s' if found.keys > 1 else ''}"
    speed = "no limit a second" if found.per_second is None else f"{found.per_second:g} a second"
    day = "no limit a day" if found.per_day is None else f"{found.per_day:,} a day"
    return f"{keys}: {speed} (held by {_say(found.binds)}), {day} (held by {_say(found.day_binds)})"


def _say(bounds: Iterable[Bound]) -> str:
    return " and ".join(_WORDS[bound] for bound in bounds)
