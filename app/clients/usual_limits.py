"""What a new key may do where nobody says: by what its provider's documents allow, else by the settings.

They are where a key begins. What holds stands with the key, because vendors change their plans and sell several.
"""

from dataclasses import dataclass
from typing import Final

from app.settings import Settings


@dataclass(frozen=True)
class UsualLimits:
    """Limits as a new key has them. `per_30s` calls in any 30 s, `extra_windows` (calls, seconds) each; None: no such limit."""

    spacing_ms: int = 0
    per_30s: int | None = None
    daily_limit: int | None = None
    extra_windows: tuple[tuple[int, int], ...] = ()


_KNOWN: Final = {
    "mailtester": UsualLimits(spacing_ms=250, per_30s=165, daily_limit=500_000),
    # The finder allows 15 a second and 500 a minute, the verifier 10 and 300. One key serves both, and its calls are counted
    # together here: by the narrower, which is right for both.
    "hunter": UsualLimits(spacing_ms=100, extra_windows=((300, 60),)),
    # The free plan.
    "apollo": UsualLimits(daily_limit=600, extra_windows=((50, 60), (200, 3_600))),
}


def usual_limits(provider: str, settings: Settings) -> UsualLimits:
    """Return the limits of a new key of a provider of which nobody says more."""
    second, minute, hour = (
        settings.rate_limit_per_second,
        settings.rate_limit_per_minute,
        settings.rate_limit_per_hour,
    )
    by_settings = UsualLimits(extra_windows=((second, 1), (minute, 60), (hour, 3_600)))
    return _KNOWN.get(provider, by_settings)
