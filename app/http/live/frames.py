"""What goes over a stream of events, in bytes: `id`, `event` and `data`, one line each, then an empty line.

Ids are the moment of sending in microseconds since the epoch, never the same or smaller within a process. They mean
"everything that changed before has been sent", so any web process can go on where another stopped.
"""

import time
from collections.abc import Callable

#: Browsers wait so long before they connect again.
RETRY_MILLISECONDS = 3_000


class Ids:
    """Gives out ids; to be used by one thread."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._last = 0

    def next(self) -> int:
        """Return an id larger than any before."""
        self._last = max(self._last + 1, int(self._clock() * 1e6))
        return self._last


def frame(number: int, event: str, data: str = "{}") -> bytes:
    """Return one event; `data` is JSON without a line break."""
    return f"id: {number}\nevent: {event}\ndata: {data}\n\n".encode()


def greeting(number: int, heartbeat_seconds: float) -> bytes:
    """Return what a stream begins with."""
    data = f'{{"heartbeat_seconds": {heartbeat_seconds:g}}}'
    return f"retry: {RETRY_MILLISECONDS}\n".encode() + frame(number, "hello", data)


def read_id(text: str | None) -> int | None:
    """Return an id that a viewer sent back, None for none or for what we never gave out."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 18 else None
