"""The plain values that go into the provider limits and come out of them.

Moments are Unix milliseconds on the clock of the Redis that holds the limits (`…_ms`), never of the
process that reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, NamedTuple, Self

from app.errors import Misconfigured
from app.settings import Settings

Reason = Literal[
    "", "spacing", "window", "daily_quota", "circuit_open", "no_keys", "pool_unknown", "held"
]
CircuitState = Literal["closed", "open", "half_open"]
HOUR_MS = 3_600_000
#: A window keeps a moment for each of its calls: memory, and time in which Redis does nothing else.
MAX_WINDOW_CALLS = 100_000
MAX_WINDOW_MS = 366 * 24 * HOUR_MS


class Window(NamedTuple):
    """At most `limit` calls in any stretch of `window_ms`."""

    limit: int
    window_ms: int


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What one key allows. Spacing 0, no window and no daily limit: unlimited.

    `key_id` is a fingerprint in hex, never the secret. `version` may only grow: limits older than
    those that Redis has are not taken. The day turns at `reset_hour` UTC. Raises `Misconfigured`.
    """

    key_id: str
    spacing_ms: int = 0
    windows: tuple[Window, ...] = ()
    daily_limit: int | None = None
    reset_hour: int = 0
    version: int = 0

    def __post_init__(self) -> None:
        if not self.key_id or not self.key_id.isalnum():
            raise Misconfigured("A key's id must be a fingerprint of letters and digits.")
        if self.spacing_ms < 0 or not 0 <= self.reset_hour < 24:
            raise Misconfigured("A key's spacing must be 0 ms or more, its reset hour 0 to 23.")
        if any(limit < 1 or window_ms < 1 for limit, window_ms in self.windows):
            raise Misconfigured("A window needs a limit and a length in ms of at least 1.")
        if any(limit > MAX_WINDOW_CALLS for limit, _ in self.windows):
            raise Misconfigured(
                f"A window may have at most {MAX_WINDOW_CALLS:,} calls. Name a shorter one with fewer (1,000,000 in 3,600 s "
                "as 100,000 in 360 s), or leave it out for no such limit."
            )
        if any(window_ms > MAX_WINDOW_MS for _, window_ms in self.windows):
            raise Misconfigured("A window may be at most a year long; name a shorter one.")
        if len({window_ms for _, window_ms in self.windows}) != len(self.windows):
            raise Misconfigured("A key has two windows of the same length; keep the lower limit.")
        if self.daily_limit is not None and self.daily_limit < 1:
            raise Misconfigured("A daily limit must be at least 1; leave it out for none.")

    @property
    def longest_ms(self) -> int:
        """How far back a use still counts, the daily quota aside."""
        return max([self.spacing_ms, *(window_ms for _, window_ms in self.windows)])

    @property
    def is_unlimited(self) -> bool:
        """Whether the key can be used any number of times at one moment."""
        return not self.spacing_ms and not self.windows and self.daily_limit is None


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """What holds for all keys: margins against jitter, how far ahead to reserve, circuit times.

    A probe's lease must be longer than a call can take, so that one probe is under way at most.
    """

    spacing_margin_ms: int = 3
    window_margin_ms: int = 75
    horizon_ms: int = 2_000
    open_ms: int = 300_000
    probe_lease_ms: int = 60_000

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Build the policy that the environment asks for."""
        return cls(
            spacing_margin_ms=settings.limit_spacing_margin_ms,
            window_margin_ms=settings.limit_window_margin_ms,
            horizon_ms=settings.limit_horizon_ms,
            open_ms=settings.health_open_seconds * 1_000,
            probe_lease_ms=int(max(60.0, 2 * settings.provider_timeout_seconds) * 1_000),
        )


class PoolRef(NamedTuple):
    """A pool of keys as Redis knows it. Another list of keys is another pool."""

    name: str
    redis_key: str
    key_ids: tuple[str, ...]


def name_pool(name: str, key_ids: Sequence[str]) -> PoolRef:
    """Return the reference of pool `name` with these keys, in any order."""
    ids = tuple(sorted(set(key_ids)))
    digest = blake2b(" ".join(ids).encode(), digest_size=8).hexdigest()
    return PoolRef(name, f"{{rl}}:pool:{name}:{digest}", ids)


class Slot(NamedTuple):
    """`calls` calls on one key at `at_ms`; `seq` numbers the key's grants (the last of these)."""

    key_id: str
    at_ms: int
    seq: int
    calls: int


class Reservation(NamedTuple):
    """The answer to a reservation. `not_before_ms` and `reason` say why fewer were granted.

    `unregistered` are keys whose state Redis has lost (all keys when the pool itself is unknown);
    register them and ask again. `now_us` is the server's clock, in microseconds.
    """

    slots: tuple[Slot, ...]
    not_before_ms: int
    reason: Reason
    unregistered: tuple[str, ...]
    now_us: int


class Move(NamedTuple):
    """A key's latest `calls` grants, up to number `seq`, are to be moved by `shift_ms`."""

    key_id: str
    seq: int
    calls: int
    shift_ms: int


class Report(NamedTuple):
    """How calls on a key went, in the form of `feedback.lua`."""

    kind: Literal["throttled", "clean", "unauthorized", "failed", "reset"]
    key_id: str
    value: str = ""
    granted_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class KeyState:
    """How one key stands. `used_today` is since `reset_hour` UTC; 0 ms stands for never."""

    key_id: str
    used_today: int
    daily_limit: int | None
    next_free_ms: int
    binds: Reason
    spacing_multiplier: float
    state: CircuitState
    since_ms: int
    why: str
    throttled_count: int
    last_granted_ms: int
    wait_until_ms: int
    cold_until_ms: int
