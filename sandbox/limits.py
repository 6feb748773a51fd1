"""Limits of one key, judged when a call arrives, without any kindness.

Only calls that were let in count towards spacing, windows and the day. Windows are exact: at most N calls
in any stretch of the given length. Times are milliseconds of a monotonic clock; days are UTC days.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class KeyConfig:
    """What one key may do. Without spacing, windows and daily limit it is unlimited."""

    key: str
    spacing_ms: float = 0
    #: Pairs of (calls, milliseconds).
    windows: tuple[tuple[int, int], ...] = ()
    daily_limit: int | None = None
    disabled: bool = False
    #: Answers that the plan pays for, until a reset; None is no end of them. Only enrichment vendors look at it.
    quota: int | None = None

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> "KeyConfig":
        """Build it from JSON. Raises `ValueError`, `KeyError` or `TypeError` for what makes no sense."""
        unknown = fields.keys() - cls.__slots__
        if unknown:
            raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
        windows = tuple((int(calls), int(length)) for calls, length in fields.get("windows") or ())
        if any(calls < 1 or length < 1 for calls, length in windows):
            raise ValueError("a window is [calls, milliseconds], both above 0")
        if not fields["key"]:
            raise ValueError("a key is not empty")
        daily_limit = fields.get("daily_limit")
        return cls(
            key=str(fields["key"]),
            spacing_ms=float(fields.get("spacing_ms") or 0),
            windows=windows,
            daily_limit=None if daily_limit is None else int(daily_limit),
            disabled=bool(fields.get("disabled", False)),
            quota=None if fields.get("quota") is None else int(fields["quota"]),
        )


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a call came too early, and by how much (also what is left to wait)."""

    reason: str
    early_ms: float


class Meter:
    """Counts the calls of one key."""

    def __init__(self, config: KeyConfig) -> None:
        self.config = config
        self._last_ms = float("-inf")
        self._rings = [(length, deque[float](maxlen=n)) for n, length in config.windows]
        self._day = -1
        self.used_today = 0
        self.charged = 0

    @property
    def is_spent(self) -> bool:
        """Tell whether the plan's answers are used up."""
        return self.config.quota is not None and self.charged >= self.config.quota

    def left(self, now_ms: float) -> dict[int, int]:
        """Return how many calls each window would still let in, by its length in ms; a day is one too."""
        found = {
            length: (ring.maxlen or 0) - sum(past > now_ms - length for past in ring)
            for length, ring in self._rings
        }
        if self.config.daily_limit is not None:
            found[DAY_MS] = max(0, self.config.daily_limit - self.used_today)
        return found

    def arrive(self, now_ms: float, wall_ms: float) -> Violation | None:
        """Let a call in and count it, or say which limit it breaks."""
        config = self.config
        day = int(wall_ms // DAY_MS)
        if day != self._day:
            self._day, self.used_today = day, 0
        if config.daily_limit is not None and self.used_today >= config.daily_limit:
            return Violation("daily", (day + 1) * DAY_MS - wall_ms)
        for length, ring in self._rings:
            if len(ring) == ring.maxlen and now_ms - ring[0] < length:
                return Violation(f"window {ring.maxlen}/{length}ms", length - (now_ms - ring[0]))
        if now_ms - self._last_ms < config.spacing_ms:
            return Violation("spacing", config.spacing_ms - (now_ms - self._last_ms))
        self._last_ms = now_ms
        self.used_today += 1
        for _, ring in self._rings:
            ring.append(now_ms)
        return None
