"""When an item whose provider failed is tried again."""

import random
from collections.abc import Callable

from app.settings import Settings


def backoff_seconds(
    attempts: int, settings: Settings, *, jitter: Callable[[], float] = random.random
) -> float:
    """Return the seconds to wait after `attempts` failures (1 or more).

    Base x multiplier^(attempts-1), capped, then between half and the whole of it by chance, so that items that failed
    together don't come back together.
    """
    milliseconds = settings.retry_base_delay * settings.retry_backoff_multiplier ** (attempts - 1)
    capped = min(milliseconds, settings.retry_max_delay)
    return float(capped * (0.5 + jitter() / 2) / 1000)
