"""Keeps the outcomes of a chunk until they are recorded: at most a second or fifty calls late.

Everything goes through `flush`, which also renews the lease. While the database is away, or takes longer than it should,
outcomes are kept, because they were paid for, and the chunk makes no new calls. Nor does it when its lease may have run
out unnoticed, as after a process was frozen: by the process's own clock, before anybody else is asked.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.db.scope import tenant_scope
from app.jobs import lease as ledger
from app.jobs import records
from app.jobs.lease import Lease
from app.jobs.records import Outcome, Recorded
from app.work.tools import Tools

log = structlog.get_logger(__name__)


class Recorder:
    """The unrecorded outcomes of one chunk. `asked_at` is the monotonic moment before the lease was taken.

    `write_notes` writes what the kind of work notes beside its outcomes, in the same transaction. `record_noted(lease, outcomes,
    notes, seconds=, retries=)` does all of it at once where it can; None: it did not.
    """

    def __init__(
        self,
        tools: Tools,
        lease: Lease,
        *,
        asked_at: float,
        write_notes: Callable[[Connection, Lease, Sequence[Any]], None] | None = None,
        record_noted: Callable[..., Recorded | None] | None = None,
    ) -> None:
        self._tools = tools
        self._lease = lease
        self._write_notes = write_notes
        self._record_noted = record_noted
        self._notes: list[Any] = []
        self._held_until = asked_at + tools.settings.lease_seconds
        self._buffer: list[Outcome] = []
        self._one_at_a_time = asyncio.Lock()
        #: Set when enough is waiting to be recorded.
        self.full = asyncio.Event()
        #: Cleared while the database does not take outcomes, or the lease is in doubt; the next flush that works sets it.
        self.working = asyncio.Event()
        self.working.set()

    @property
    def is_open(self) -> bool:
        """Whether a call may be made now; when not, wait for `working`."""
        if time.monotonic() >= self._held_until:
            self.working.clear()
        return self.working.is_set()

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome for the next flush."""
        self._buffer.append(outcome)
        if len(self._buffer) >= self._tools.settings.flush_calls:
            self.full.set()

    def note(self, note: object) -> None:
        """Keep something for `write_notes` at the next flush."""
        self._notes.append(note)
        if len(self._notes) >= self._tools.settings.flush_calls:
            self.full.set()

    async def flush(self, retries: Mapping[int, tuple[int, float, str]] | None = None) -> Recorded:
        """Record what waits and renew the lease.

        Raises `SQLAlchemyError` when the database can't; the outcomes are then still here. Whoever is cancelled here leaves a
        write behind that goes on to its end, and the next one waits for it: what it has written must not be written again.
        """
        return await asyncio.shield(self._flush(retries))

    async def _flush(self, retries: Mapping[int, tuple[int, float, str]] | None) -> Recorded:
        async with self._one_at_a_time:
            batch, notes, settings = list(self._buffer), list(self._notes), self._tools.settings
            seconds, asked_at = settings.lease_seconds, time.monotonic()
            self.full.clear()

            def write() -> Recorded:
                if not notes:
                    return records.record_alone(
                        self._lease, batch, seconds=seconds, retries=retries
                    )
                if self._record_noted is not None:
                    told = {"seconds": seconds, "retries": retries}
                    if (kept := self._record_noted(self._lease, batch, notes, **told)) is not None:
                        return kept
                with tenant_scope(self._lease.tenant_id) as connection:
                    kept = records.record(
                        connection, self._lease, batch, seconds=seconds, retries=retries
                    )
                    self._write(connection, kept, notes)
                    return kept

            # A database that hangs raises nothing: without this, calls would go on unrecorded for as long.
            late = asyncio.get_running_loop().call_later(settings.flush_seconds, self.working.clear)
            try:
                done = await self._tools.in_thread(write)
            except SQLAlchemyError:
                self.working.clear()
                raise
            finally:
                late.cancel()
            del self._buffer[: len(batch)]
            del self._notes[: len(notes)]
            if done.held:
                self._held_until = asked_at + seconds
                self._tools.on_recorded(done.recorded)
            self.working.set()
            return done

    async def save(self, retries: Mapping[int, tuple[int, float, str]] | None) -> None:
        """Flush, however long the database is away: what waits was paid for, and nobody comes after.

        Raises `SQLAlchemyError` for what does not pass, and when the process must go.
        """
        while True:
            try:
                await self.flush(retries)
            except (OperationalError, InterfaceError, PoolTimeout) as error:
                drain_by = self._tools.drain_by()
                if drain_by is not None and time.monotonic() > drain_by:
                    raise
                log.warning("outcomes_not_recorded", error=type(error).__name__)
                await asyncio.sleep(self._tools.settings.flush_seconds)
            else:
                return

    async def end(self, how: str, action: Callable[[Connection], bool]) -> str | None:
        """Record the rest and call `action(connection)` in the same transaction.

        Returns `how`, `cancelled` where the job was cancelled meanwhile, None: the chunk is not ours any more.
        """
        async with self._one_at_a_time:
            batch, notes = list(self._buffer), list(self._notes)
            seconds = self._tools.settings.lease_seconds

            def write() -> tuple[str | None, int]:
                with tenant_scope(self._lease.tenant_id) as connection:
                    kept = records.record(connection, self._lease, batch, seconds=seconds)
                    self._write(connection, kept, notes)
                    if not kept.held:
                        return None, 0
                    # A cancelled job ends here: what it would do next, nobody wants any more.
                    done = (
                        ledger.finish(connection, self._lease, "cancelled")
                        if kept.cancel
                        else action(connection)
                    )
                    return ("cancelled" if kept.cancel else how) if done else None, kept.recorded

            ended, recorded = await self._tools.in_thread(write)
            if ended:
                self._buffer.clear()
                self._notes.clear()
                # With the rows of the list that repeat an address, as every flush tells them.
                self._tools.on_recorded(recorded)
            return ended

    def _write(self, connection: Connection, kept: Recorded, notes: Sequence[Any]) -> None:
        if kept.held and notes and self._write_notes is not None:
            self._write_notes(connection, self._lease, notes)
