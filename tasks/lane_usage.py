"""What this process did, by lane and client, until it is added to the database's statistics.

Counts are of rows that the ledger has recorded, so they can't be more than the database took; a process that is killed
loses the few seconds' that it had not written, and nothing else depends on them.
"""

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import UUID

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from app.jobs import release as ledger

log = structlog.get_logger(__name__)
#: Lanes and clients of one process between two writes. Beyond them the database was away for too long to matter.
MAX_PAIRS = 10_000


class LaneUsage:
    """Rows recorded since the last write. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: Counter[tuple[str, UUID]] = Counter()

    def add(self, queue: str, tenant_id: UUID, rows: int) -> None:
        """Count rows that were recorded for a client out of a lane's queue."""
        if rows:
            self._add({(queue, tenant_id): rows})

    def flush(self, scope: Callable[[], AbstractContextManager[Connection]]) -> None:
        """Write what was counted, in a transaction of its own; what can't be written is kept for the next time."""
        with self._lock:
            taken, self._rows = self._rows, Counter()
        if not taken:
            return
        try:
            with scope() as connection:
                ledger.add_usage(connection, taken)
        except SQLAlchemyError:
            self._add(taken)
            raise

    def _add(self, counts: dict[tuple[str, UUID], int]) -> None:
        with self._lock:
            for pair, rows in counts.items():
                if pair in self._rows or len(self._rows) < MAX_PAIRS:
                    self._rows[pair] += rows
