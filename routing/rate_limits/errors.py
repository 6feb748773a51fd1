"""What a caller of the provider limits has to expect, besides a grant."""

import math
from datetime import datetime

from app.errors import LanewayError, Unavailable


class LimitsUnavailable(Unavailable):
    """The Redis that holds the limits does not answer. No call may be made: limits fail closed."""

    code = "limits_unavailable"


class Throttled(LanewayError):
    """No key is free soon. Nothing was consumed; come back at `not_before` (UTC), `wait_seconds` from now.

    `not_before` is a moment of the limits' Redis, whose clock may differ from this host's and the database's;
    `wait_seconds` is right on all of them.
    `reason` is what binds the key that is free first: `spacing`, `window`, `daily_quota`,
    `circuit_open`, or `no_keys` when there is none.
    """

    code = "provider_throttled"
    status = 503
    title = "No provider key is free"

    def __init__(self, not_before: datetime, reason: str, wait_seconds: float) -> None:
        super().__init__(
            f"No key is free before {not_before:%Y-%m-%d %H:%M:%S} UTC ({reason}).",
            retry_after=max(1, math.ceil(wait_seconds)),
        )
        self.not_before = not_before
        self.reason = reason
        self.wait_seconds = wait_seconds
