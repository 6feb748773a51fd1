"""Waiting for a condition, never for luck: every wait has a deadline and says what it waited for."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.03


def wait_for(
    condition: Callable[[], T],
    seconds: float,
    what: str,
    *,
    meanwhile: Callable[[], object] = lambda: None,
) -> T:
    """Return the condition's first true answer. Raises `AssertionError` when the deadline passes.

    `meanwhile` is called between two looks; what it raises ends the wait.
    """
    deadline = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        meanwhile()
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(POLL_SECONDS)


def last(seconds: float) -> None:
    """Let a fault last: its length is part of what is tested, not a guess at when something is ready."""
    time.sleep(seconds)
