"""What one worker does for all: recovery, the watch over the lanes, and what was left on them.

Every worker could, and at a hundred lanes each look costs the database milliseconds, so whoever holds the duty does it, and
the others only ask whether it is free. A holder that dies is followed within seconds; one that was frozen and wakes
does once what another does too, which is safe. Lost messages are found by two looks of the same process: the duty stays.
"""

import contextlib
import time

from sqlalchemy.exc import SQLAlchemyError

from app.db.scope import system_scope
from app.jobs import release as ledger
from app.settings import get_settings
from tasks import dispatcher
from tasks.left_messages import remove_left_messages
from tasks.presence import WORKER_ID
from tasks.webhook_keeping import WebhookKeeper

DUTY = "keep"
#: Recovery is run this often, which is far below its timeouts.
RECOVER_SECONDS = 1.0
#: Lanes without a worker are looked for this often; with the timeout of presence they are found within 30 s.
TEND_SECONDS = 5.0
#: A holder that has not been heard of for so long is followed by another.
HOLD_SECONDS = 4.0
#: A worker that can't reach Redis, while others may, leaves the duty to them for so long: they look each second. Where Redis
#: is away for all, leases are still recovered this often.
STAND_BACK_SECONDS = 3.0


class Keeper:
    """This worker's part in the duty; used by its dispatch thread."""

    def __init__(self) -> None:
        self._next_look = 0.0
        self._next_tend = 0.0
        self._holds = False
        self._webhooks = WebhookKeeper()

    def spread_soon(self) -> None:
        """Send new events on at the next round."""
        self._webhooks.is_asked = True

    def tend_soon(self) -> None:
        """Watch over the lanes at the next round: routes have changed."""
        self._next_tend = 0.0
        if self._holds:
            self._next_look = 0.0

    def work(self) -> None:
        """Do what is due, if this worker has the duty or it is free. Raises what the database raises."""
        now = time.monotonic()
        if now < self._next_look:
            if self._holds and self._webhooks.is_asked:
                self._webhooks.spread()
            return
        self._next_look = now + RECOVER_SECONDS
        with system_scope() as connection:
            self._holds = ledger.claim_duty(connection, DUTY, WORKER_ID, HOLD_SECONDS)
        if not self._holds:
            return
        can_ask_redis = dispatcher.recover()
        if now >= self._next_tend:
            # First, so that a look that fails is not repeated each second.
            self._next_tend = now + TEND_SECONDS
            with system_scope() as connection:
                ledger.tend_lanes(connection, get_settings().presence_timeout_seconds)
            with contextlib.suppress(*dispatcher.REDIS_ERRORS):  # The next look is in seconds.
                remove_left_messages(dispatcher.broker_client())
        self._webhooks.work()
        if not can_ask_redis:
            self._leave()
            self._next_look = now + STAND_BACK_SECONDS

    def stop(self) -> None:
        """Leave the duty to another at once."""
        with contextlib.suppress(SQLAlchemyError):  # It runs out by itself.
            self._leave()

    def _leave(self) -> None:
        self._holds = False
        with system_scope() as connection:
            ledger.leave_duty(connection, DUTY, WORKER_ID)
