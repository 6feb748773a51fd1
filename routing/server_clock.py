"""Maps the clock of the limits' Redis to a process's monotonic clock, with the error that remains.

Each call gives a bracket: the server read its clock between sending and receiving. What all brackets
of the last seconds have in common holds the truth: a busy loop widens single brackets, not that. A
bracket that contradicts the others (the server's clock was set) replaces them at once.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

#: Brackets count for one to two such periods: clocks drift apart by tenths of a millisecond a second.
PERIOD_SECONDS = 3.0
_ENDLESS = (float("-inf"), float("inf"))


@dataclass(slots=True)
class ServerClock:
    """`offset` is server seconds minus monotonic seconds, right to within `error` either way."""

    offset: float = 0.0
    error: float = float("inf")
    _now: tuple[float, float] = _ENDLESS
    _before: tuple[float, float] = _ENDLESS
    _since: float = field(default=float("-inf"))

    def observe(self, sent: float, received: float, server_us: int) -> None:
        """Take in one call: monotonic moments around it, the server's clock in µs."""
        bracket = (server_us / 1e6 - received, server_us / 1e6 - sent)
        if received - self._since > PERIOD_SECONDS:
            # After a long silence nothing from before it counts.
            silent = received - self._since > 2 * PERIOD_SECONDS
            self._before, self._now = (_ENDLESS if silent else self._now), _ENDLESS
            self._since = received
        self._now = _common(self._now, bracket)
        low, high = _common(self._now, self._before)
        if low > high:
            self._before, self._now = _ENDLESS, bracket
            low, high = bracket
        self.offset, self.error = (low + high) / 2, (high - low) / 2

    def to_local(self, server_ms: float) -> float:
        """Return the monotonic moment of a server moment."""
        return server_ms / 1e3 - self.offset


def _common(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return max(one[0], other[0]), min(one[1], other[1])


def to_utc(server_ms: int) -> datetime:
    """Return a server moment as an aware UTC time."""
    return datetime.fromtimestamp(server_ms / 1e3, UTC)
