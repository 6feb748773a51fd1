"""Whether the lanes of a dedicated worker fit its clients' rows: told when that is otherwise than it was, not each time it is seen.

A worker whose client was moved away runs on and gets nothing, which looks like a client without work.
"""

import time
from collections.abc import Sequence
from uuid import UUID

import structlog

from app.db.scope import system_scope
from app.errors import Misconfigured
from routing.worker_configs import ClientLane, find_client
from tasks.worker_mode import DedicatedLane, check_client

log = structlog.get_logger(__name__)
#: A change is notified; this often it is looked for anyway, for one that was not heard of.
LOOK_SECONDS = 30.0
#: Changes that come closer together than this, as in a bulk of onboardings, are seen by one look.
SETTLE_SECONDS = 1.0


class LaneWatch:
    """The lanes of this worker, with what was told of each; without lanes it does nothing. For one thread."""

    def __init__(self, lanes: Sequence[DedicatedLane] = ()) -> None:
        self._lanes = lanes
        #: Client -> the warning that stands; none: its row fits.
        self._told: dict[UUID, str] = {}
        self._looked_at = time.monotonic()
        self._next_look = self._looked_at + LOOK_SECONDS

    def look_soon(self) -> None:
        """Have the next `look` look: somebody's lane was changed."""
        self._next_look = min(self._next_look, self._looked_at + SETTLE_SECONDS)

    def look(self) -> None:
        """Look, if it is time. Raises what the database raises."""
        now = time.monotonic()
        if not self._lanes or now < self._next_look:
            return
        self._looked_at, self._next_look = now, now + LOOK_SECONDS
        with system_scope() as connection:
            clients = [find_client(connection, lane.client) for lane in self._lanes]
        self.tell(clients)

    def tell(self, clients: Sequence[ClientLane | None]) -> None:
        """Log which lanes don't fit any more, or otherwise than before, and which do again; `clients` in the lanes' order."""
        for lane, client in zip(self._lanes, clients, strict=True):
            before, now = self._told.pop(lane.client, None), _warning(lane, client)
            if now:
                self._told[lane.client] = now
            if now and now != before:
                log.warning("dedicated_queue_mismatch", detail=now)
            elif before and not now:
                log.info("dedicated_queue_fits", queue=lane.queue)


def _warning(lane: DedicatedLane, client: ClientLane | None) -> str | None:
    try:
        return check_client(lane, client)
    except Misconfigured as gone:
        # At the start the worker is refused for it; now it was there and was removed.
        return gone.message
