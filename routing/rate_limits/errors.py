"""What a caller of the provider limits has to expect, besides a grant."""

import math
from datetime import UTC, datetime

from app.errors import LanewayError, Unavailable


class LimitsUnavailable(Unavailable):
    """The Redis that holds the limits does not answer. No call may be made: limits fail closed."""

    code = "limits_unavailable"


class Throttled(LanewayError):
    """No key is free soon. Nothing was consumed; come back at `not_before` (UTC).

    `reason` is what binds the key that is free first: `spacing`, `window`, `daily_quota`,
    `circuit_open`, or `no_keys` when there is none.
    """

    code = "provider_throttled"
    status = 503
    title = "No provider key is free"

    def __init__(self, not_before: datetime, reason: str) -> None:
        seconds = (not_before - datetime.now(UTC)).total_seconds()
        super().__init__(
            f"No key is free before {not_before:%Y-%m-%d %H:%M:%S} UTC ({reason}).",
            retry_after=max(1, math.ceil(seconds)),
        )
        self.not_before = not_before
        self.reason = reason
