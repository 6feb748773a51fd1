"""The keys that serve a lane's clients: which they are, and how many calls they allow, a second and a day."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from app.settings import get_settings

DAY_SECONDS = 86_400.0
_KEYS = text("""
    SELECT tenant_slug, spacing_ms, requests_per_window, window_seconds, extra_windows, daily_limit, reset_hour, used_today
    FROM keys_overview(NULL, :presence) WHERE in_force AND provider = :provider
""")
_OWN_ONLY = text("SELECT own_keys_only()")


@dataclass(frozen=True)
class LaneKeys:
    """Keys together. `per_second` is None when one is unlimited or there is none; `left_today` and `per_day` are calls,
    infinite without a limit; `resets_in` is the time until the first day of a limited key turns. `is_platform`: some are
    the platform's, so that other lanes draw on them too.
    """

    count: int
    per_second: float | None
    left_today: float
    per_day: float
    resets_in: float
    is_platform: bool = False

    def part(self, lanes: int) -> "LaneKeys":
        """Return what one of `lanes` lanes that share these keys may count on."""
        if lanes < 2:
            return self
        per_second = None if self.per_second is None else self.per_second / lanes
        return replace(
            self,
            per_second=per_second,
            left_today=self.left_today / lanes,
            per_day=self.per_day / lanes,
        )


class KeyBook:
    """The usual verification provider's keys in force at one moment; those that a worker carries, while it was seen within `presence_seconds`."""

    def __init__(self, connection: Connection, presence_seconds: float) -> None:
        values = {
            "presence": presence_seconds,
            "provider": get_settings().verification_provider,
        }
        self._keys = connection.execute(_KEYS, values).all()
        self._own_only = frozenset(connection.execute(_OWN_ONLY).scalars())

    def keys_for(self, slugs: Collection[str]) -> LaneKeys:
        """Return the keys of these clients: each one's own in force, else the platform's unless its policy bars them.

        No client stands for the lane of all.
        """
        own = [key for key in self._keys if key.tenant_slug in slugs]
        without = set(slugs) - {key.tenant_slug for key in own} - self._own_only
        if without or not slugs:
            own += [key for key in self._keys if key.tenant_slug is None]
        return together(own, datetime.now(UTC))


def together(keys: Sequence[Any], now: datetime) -> LaneKeys:
    """Add up keys; `now` is an aware time."""
    rates = [call_rate(key) for key in keys]
    limited = [key for key in keys if key.daily_limit is not None]
    return LaneKeys(
        count=len(keys),
        per_second=round(sum(rates), 2) if rates and math.inf not in rates else None,
        left_today=sum((_left(key) for key in keys), 0.0),
        per_day=sum((_a_day(k, rate) for k, rate in zip(keys, rates, strict=True)), 0.0),
        resets_in=min((_until(now, key.reset_hour) for key in limited), default=DAY_SECONDS),
        is_platform=any(key.tenant_slug is None for key in keys),
    )


def call_rate(key: Any) -> float:
    """Return the calls a second that the tightest of a key's limits allows; infinite without any."""
    bounds = [1000 / key.spacing_ms] if key.spacing_ms else []
    if key.requests_per_window:
        bounds.append(key.requests_per_window / key.window_seconds)
    bounds += [window["requests"] / window["seconds"] for window in key.extra_windows or ()]
    return min(bounds, default=math.inf)


def _left(key: Any) -> float:
    return math.inf if key.daily_limit is None else max(0.0, key.daily_limit - key.used_today)


def _a_day(key: Any, rate: float) -> float:
    return min(rate * DAY_SECONDS, math.inf if key.daily_limit is None else key.daily_limit)


def _until(now: datetime, hour: int) -> float:
    turn = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return ((turn if turn > now else turn + timedelta(days=1)) - now).total_seconds()
