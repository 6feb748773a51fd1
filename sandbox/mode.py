"""How the simulated providers behave for everybody: slow, failing, throttling, hanging.

What happens to a call depends on the seed, the address and how often that address was asked about,
so a run can be repeated and yet a retry may fare better than the first try.
"""

import hashlib
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Mode:
    """The dials; rates are shares from 0 to 1."""

    latency_ms: tuple[float, float] = (0.0, 0.0)
    error_rate: float = 0.0
    throttle_rate: float = 0.0
    hang_rate: float = 0.0
    #: A call that hangs is dropped after this long.
    hang_seconds: float = 120.0
    #: Tokens of the older contract older than this are refused with 401. 0 refuses all at once.
    token_seconds: float = 86_400.0
    seed: int = 0

    @classmethod
    def parse(cls, values: dict[str, Any]) -> "Mode":
        """Build it from JSON; what is not given is at its default. Raises `ValueError`, `TypeError`."""
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
        numbers: dict[str, Any] = {
            name: float(v) for name, v in values.items() if name != "latency_ms"
        }
        if "seed" in numbers:
            numbers["seed"] = int(numbers["seed"])
        if "latency_ms" in values:
            low, high = (float(part) for part in values["latency_ms"])
            numbers["latency_ms"] = (low, max(low, high))
        mode = cls(**numbers)
        rates = (mode.error_rate, mode.throttle_rate, mode.hang_rate)
        if min(rates) < 0 or sum(rates) > 1:
            raise ValueError("rates are shares that add up to 1 at most")
        return mode

    def mishap(self, email: str, nth: int) -> str | None:
        """Return `error500`, `throttled`, `hang` or None for the `nth` call (from 1) about `email`."""
        if not (self.error_rate or self.throttle_rate or self.hang_rate):
            return None
        chance = fraction(f"{self.seed}|{nth}|{email}")
        for rate, name in (
            (self.error_rate, "error500"),
            (self.throttle_rate, "throttled"),
            (self.hang_rate, "hang"),
        ):
            if chance < rate:
                return name
            chance -= rate
        return None

    def latency_seconds(self, email: str) -> float:
        """Return how long an answer about `email` takes."""
        low, high = self.latency_ms
        if high <= 0:
            return 0.0
        return (low + (high - low) * fraction(f"{self.seed}|{email}")) / 1_000


def fraction(text: str) -> float:
    """Map `text` to a number from 0 up to 1, always the same, evenly spread."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
