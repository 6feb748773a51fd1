"""What a worker process makes once, however many of its slots ask for it in the same moment."""

import threading
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")


def once(make: Callable[[], T]) -> Callable[[], T]:
    """Have `make` called once per process; everybody gets what it returned. One that raises is called again."""
    # A cache alone lets all the slots that a full queue fills at start make one of their own.
    lock, kept = threading.Lock(), lru_cache(make)

    @wraps(make)
    def get() -> T:
        with lock:
            return kept()

    return get
