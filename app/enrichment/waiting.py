"""What the leads of a run wait for, while the others go on: answers that come later, and keys that have nothing to give.

A chunk whose leads all wait is put back until the first of these moments. Its job's other chunks are put off with it only
where this one could not say anything about any lead: else they may have as much to do as it had.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, text

from app.enrichment.waits import next_moment
from app.jobs import lease as ledger
from app.jobs.lease import Lease
from app.work.agenda import Attempt
from app.work.database_clock import DatabaseClock
from app.work.ending import HEAD_START_SECONDS
from routing.key_pool import Throttled

#: The reason is what a change of keys goes by when it wakes chunks.
_NAME = text("""
    UPDATE chunks SET waits_for = :reason
    WHERE id = :chunk AND fence = :fence + 1 AND status = 'ready' AND waits_for = 'callback'
""")


class Waiting:
    """The leads of one run that nothing can be done about now. True when there are any."""

    def __init__(self, lease: Lease, clock: DatabaseClock) -> None:
        self._lease = lease
        self._clock = clock
        #: Leads whose answer comes later, with the provider that owes it.
        self._owed: dict[int, str] = {}
        #: When the first of the keys has something to give, and why it has not now.
        self._keys: tuple[datetime, str] | None = None
        #: Whether anything was said about a lead in this run.
        self.has_concluded = False

    def __bool__(self) -> bool:
        return bool(self._owed) or self._keys is not None

    def for_answer(self, item_no: int, provider: str) -> None:
        """Let a lead wait for what a provider will say in a call of its own."""
        self._owed[item_no] = provider

    def for_keys(self, throttled: Throttled) -> None:
        """Let a lead, or the whole chunk, wait until these keys have something to give."""
        until = self._clock.after(throttled.wait_seconds - HEAD_START_SECONDS)
        if self._keys is None or until < self._keys[0]:
            self._keys = (until, throttled.reason)

    def put_back(
        self, connection: Connection, retries: Mapping[int, Attempt], next_attempt: datetime | None
    ) -> bool:
        """Hand the chunk back until the first of what it waits for, or its next attempt. False: it was no longer ours."""
        moments = [] if next_attempt is None else [(next_attempt, "retry")]
        if self._owed:
            owed = next_moment(connection, self._lease, list(self._owed.items()))
            moments.append((owed, "callback"))
        until, reason = min([*moments, *([self._keys] if self._keys else [])])
        if self._keys is None:
            return ledger.put_back(connection, self._lease, until, retries, reason)
        # Keys are named first, because their change wakes those who wait for them; an answer wakes whoever waits.
        reason = self._keys[1]
        if not self.has_concluded:
            return ledger.put_back(connection, self._lease, until, retries, reason)
        held = ledger.put_back(connection, self._lease, until, retries, "callback")
        connection.execute(
            _NAME,
            {"reason": reason, "chunk": self._lease.chunk_id, "fence": self._lease.fence},
        )
        return held
