"""The database's present, as a process can tell it without asking each time.

Moments that a run leaves behind (when to try again, until when a lane is held) are judged by the database's clock and
read by runs on other hosts. A host whose clock is a minute off would make chunks wait a minute too long, or come back
at once, again and again.
"""

import time
from datetime import UTC, datetime


class DatabaseClock:
    """Goes on from a moment that the database has just told; behind by no more than that answer took."""

    def __init__(self, told: datetime) -> None:
        self._offset = told.timestamp() - time.monotonic()

    def epoch(self) -> float:
        """Return the present in epoch seconds."""
        return time.monotonic() + self._offset

    def after(self, seconds: float) -> datetime:
        """Return the moment so many seconds from now (UTC)."""
        return datetime.fromtimestamp(self.epoch() + seconds, UTC)
