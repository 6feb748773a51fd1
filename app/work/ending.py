"""How the run of a chunk ends: finished, cancelled, or handed back with the moment to go on."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from app.jobs import lease as ledger
from app.jobs.lease import Lease
from app.work.agenda import Agenda
from app.work.database_clock import DatabaseClock
from app.work.recorder import Recorder
from app.work.tools import Tools
from routing.rate_limits.errors import Throttled

log = structlog.get_logger(__name__)
#: A held lane is released this much before its keys are free, so that the calls are ready when they are.
HEAD_START_SECONDS = 1.0
#: How old at most the pool's knowledge is that its keys are spent: it asks twice a second, and hears of edits in less.
KNOWN_SINCE_SECONDS = 1.5
#: What limits that can't be asked cost: they fail closed, and nothing is called until they answer.
LIMITS_AWAY_SECONDS = 2.0

Action = Callable[[Connection], bool]


@dataclass(frozen=True)
class Ending:
    """What to write with the last record, and the word for it."""

    how: str
    action: Action


@dataclass(frozen=True)
class Hold:
    """Why a lane must wait and until when, by the database's clock."""

    until: datetime
    reason: str
    #: What is known of the keys is from then.
    noticed_at: datetime

    @classmethod
    def of(cls, throttled: Throttled, clock: DatabaseClock) -> "Hold":
        """Return the hold that keys without a free moment make necessary; to be called when they say so."""
        until = clock.after(throttled.wait_seconds - HEAD_START_SECONDS)
        return cls(until, throttled.reason, clock.after(-KNOWN_SINCE_SECONDS))


def choose_ending(
    lease: Lease, agenda: Agenda[Any], clock: DatabaseClock, halted: str | None, held: Hold | None
) -> Ending:
    """Decide how a run ends that still holds its lease. `halted` is why it stopped early, None: it did not."""
    retries = dict(agenda.retries)

    def put_back(run_at: datetime) -> Action:
        return lambda c: ledger.put_back(c, lease, run_at, retries)

    # Before "done", which would begin the job's next stage.
    if halted == "cancelled":
        return Ending("cancelled", lambda c: ledger.finish(c, lease, "cancelled"))
    if not agenda:
        return Ending("done", lambda c: ledger.finish(c, lease))
    if halted == "throttled" and held is not None:

        def hold(connection: Connection) -> bool:
            # The whole lane: the client's other chunks would find the same keys empty, one after the other. The chunk itself
            # is not put off, so that it goes on when the hold is lifted, whatever lifts it.
            ledger.hold_lane(connection, lease, held.until, held.reason, noticed_at=held.noticed_at)
            return ledger.put_back(connection, lease, lease.run_at, retries)

        return Ending("throttled", hold)
    if halted == "limits_unavailable":
        return Ending(halted, put_back(clock.after(LIMITS_AWAY_SECONDS)))
    if halted:
        # It keeps its place: what was begun first ends first.
        return Ending(halted, put_back(lease.run_at))
    moment = agenda.next_moment()
    return Ending("retry", lambda c: ledger.put_back(c, lease, moment, retries, "retry"))


async def write_ending(tools: Tools, recorder: Recorder, lease: Lease, ending: Ending) -> str:
    """Record the rest and end the chunk; return how it ended, `lost` when it was another's by then.

    While the database is away it keeps trying, until the process must go.
    """
    while True:
        try:
            return await recorder.end(ending.how, ending.action) or "lost"
        except SQLAlchemyError as error:
            drain_by = tools.drain_by()
            if drain_by is not None and time.monotonic() > drain_by:
                raise
            log.warning("chunk_not_ended", chunk_id=lease.chunk_id, error=type(error).__name__)
            await asyncio.sleep(1)
