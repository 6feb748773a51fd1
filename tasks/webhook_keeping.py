"""The part of the duty `keep` that is webhooks': new events go out at once, progress and what was left on their time."""

import time

import structlog

from app.db.scope import system_scope
from app.webhooks import keeping

log = structlog.get_logger(__name__)
#: Running jobs are looked at this often; each tells its progress far less often.
PROGRESS_SECONDS = 1.0
#: Endpoints with something to send and no open chunk are looked for this often.
WAKE_SECONDS = 5.0


class WebhookKeeper:
    """This worker's part; used by its dispatch thread."""

    def __init__(self) -> None:
        #: Somebody has said that there are new events.
        self.is_asked = False
        self._next_progress = 0.0
        self._next_wake = 0.0

    def work(self) -> None:
        """Do what is due. Raises what the database raises."""
        now = time.monotonic()
        if now >= self._next_progress:
            self._next_progress = now + PROGRESS_SECONDS
            with system_scope() as connection:
                keeping.sweep_progress(connection)
        if now >= self._next_wake:
            self._next_wake = now + WAKE_SECONDS
            with system_scope() as connection:
                if woken := keeping.wake(connection):
                    log.warning("webhook_chunks_opened", endpoints=woken)
        self.spread()

    def spread(self) -> None:
        """Make deliveries of all new events."""
        self.is_asked = False
        while True:
            with system_scope() as connection:
                taken = keeping.spread(connection)
            if taken < keeping.SPREAD_EVENTS:
                return
