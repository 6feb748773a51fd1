"""A provider's key as a worker holds it, and the permission to use it once."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from pydantic import SecretStr

from routing.rate_limits.limits import KeyLimits, Window

#: How a call went, for the key: `clean` (also a refused row), a 429, a bad key, any other failure.
Outcome = Literal["clean", "throttled", "unauthorized", "failed"]


@dataclass(frozen=True)
class ProviderKey:
    """One key with its limits. Only `hint` (its last four characters) may be shown or logged."""

    fingerprint: str
    secret: SecretStr = field(repr=False)
    hint: str
    spacing_ms: int
    windows: tuple[tuple[int, int], ...] = ()
    daily_limit: int | None = None
    reset_hour: int = 0
    version: int = 0

    @cached_property
    def limits(self) -> KeyLimits:
        """The limits in the limiter's form. Raises `Misconfigured`."""
        return KeyLimits(
            key_id=self.fingerprint,
            spacing_ms=self.spacing_ms,
            windows=tuple(Window(limit, window_ms) for limit, window_ms in self.windows),
            daily_limit=self.daily_limit,
            reset_hour=self.reset_hour,
            version=self.version,
        )


@dataclass(slots=True)
class Grant:
    """One call may be made now, with `key`.

    `go_at` and `released_at` are moments of the loop's clock: from when the call was allowed, and
    when it was let go. `at_ms` is the grant's moment on the limiter's clock.
    """

    key: ProviderKey
    go_at: float
    released_at: float
    at_ms: int
