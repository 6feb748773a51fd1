"""Run one chunk of items: lease, reserve, call, record, finish or hand back. What is called is the kind's own.

Always holds: a call is reserved before it is made; no more than a second's or fifty calls' outcomes are unrecorded; a
chunk that lost its lease writes nothing more. The chunk hands itself back when its keys have nothing to give, when its
slice of time is over, when items must wait for their next attempt, and when the process is asked to stop.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import uniform
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from app.db.scope import tenant_scope
from app.departures import departed
from app.errors import Misconfigured
from app.jobs import lease as ledger
from app.jobs import records
from app.jobs.lease import Lease
from app.provider_errors import KeyEffect, ProviderError, policy_of
from app.work.agenda import Agenda
from app.work.crew import Crew
from app.work.database_clock import DatabaseClock
from app.work.ending import Ending, Hold, choose_ending, write_ending
from app.work.recorder import Recorder
from app.work.tools import PoolFor, Tools
from routing.key_pool import Grant, KeyPool, Throttled
from routing.key_pool import Outcome as KeyOutcome
from routing.rate_limits.errors import LimitsUnavailable

log = structlog.get_logger(__name__)
Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
#: An item whose next attempt is this near is waited for; a later one gives the slot away.
PATIENCE_SECONDS = 1.0
#: Why a run stops without waiting for its calls: the lease is another's, or the process must go now.
AT_ONCE = ("lost", "abandoned")

_EFFECTS: dict[KeyEffect, KeyOutcome] = {
    KeyEffect.NONE: "clean",
    KeyEffect.SLOW_DOWN: "throttled",
    KeyEffect.FAILURE: "failed",
    KeyEffect.OPEN: "unauthorized",
}


async def take_chunk(
    tools: Tools,
    chunk_id: int,
    fence: int,
    tenant_id: UUID,
    load: Callable[[Connection, Lease], Loaded],
) -> tuple[Lease, Loaded] | None:
    """Take a released chunk and `load` what it is about; None when it is not there to be taken.

    In two transactions: the attempt counts too where `load` raises, else such a chunk would be tried for ever.
    """

    def take() -> tuple[Lease, Loaded] | None:
        with tenant_scope(tenant_id) as connection:
            lease = ledger.take(
                connection,
                chunk_id,
                fence,
                worker=tools.worker_id,
                seconds=tools.settings.lease_seconds,
            )
        if lease is None:
            return None
        with tenant_scope(tenant_id) as connection:
            return lease, load(connection, lease)

    return await tools.in_thread(take)


class ChunkRun(ABC, Generic[Item]):
    """One lease of one chunk; a kind of work says in `_work` what is done with its items.

    `run` returns how it ended: `done`, `cancelled`, `lost` (the lease went to another), or why it was handed back:
    `slice`, `draining`, `abandoned`, `retry`, `throttled`, `limits_unavailable`.
    """

    #: What an attempt is to bring, in the words of a result without it.
    goal = "verdict"

    def __init__(
        self, tools: Tools, lease: Lease, items: Mapping[int, Item], *, asked_at: float
    ) -> None:
        self._tools = tools
        self._lease = lease
        self._tenant = str(lease.tenant_id)
        self._clock = DatabaseClock(lease.taken_at)
        self._agenda: Agenda[Item] = Agenda(
            items,
            lease.retries,
            tools.settings,
            max_attempts=lease.max_attempts,
            goal=self.goal,
            now=self._clock.epoch,
        )
        self._recorder = Recorder(
            tools,
            lease,
            asked_at=asked_at,
            write_notes=self.write_notes,
            record_noted=self.record_noted,
        )
        self._halted: str | None = None
        self._held: Hold | None = None
        self._crew = Crew(self._work, tools.settings.chunk_concurrency)
        #: Those of the crew that wait for a key, and may be told to stop waiting.
        self._waiting: set[asyncio.Task[None]] = set()
        # Chunks that were released together must not come back together: the lane would stand still meanwhile.
        self._slice_ends = time.monotonic() + tools.settings.chunk_slice_seconds * uniform(0.5, 1)  # noqa: S311

    @abstractmethod
    async def _work(self) -> None:
        """Work on what is due until nothing is, the run is halted, or the crew is too large."""

    @staticmethod
    def write_notes(connection: Connection, lease: Lease, notes: Sequence[Any]) -> None:
        """Write what the kind of work notes beside its outcomes (`Recorder.note`); not called on the loop."""
        raise NotImplementedError

    #: Records outcomes with their notes in one statement, where the kind of work has one (`Recorder`).
    record_noted: ClassVar[Callable[..., records.Recorded | None] | None] = None

    def _ending(self) -> Ending:
        """Decide how a run ends that still holds its lease."""
        return choose_ending(self._lease, self._agenda, self._clock, self._halted, self._held)

    async def run(self) -> str:
        """Work until nothing is due, or until halted; then end the chunk."""
        keeper = asyncio.create_task(self._keep())
        keeper.add_done_callback(self._check_keeper)
        try:
            while not self._halted and self._agenda.has_more:
                if not self._agenda.due and not await self._wait_for_next():
                    break
                await self._work_through()
        except Exception:
            # A defect of ours: what was paid for is kept, then the lease runs out and the attempt counts.
            await self._recorder.save(self._agenda.changes())
            raise
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        if self._halted == "lost":
            log.warning("lease_lost", chunk_id=self._lease.chunk_id, job_id=str(self._lease.job_id))
            return "lost"
        return await write_ending(self._tools, self._recorder, self._lease, self._ending())

    @property
    def _goes_on(self) -> bool:
        """Whether one of the crew should take another item."""
        return bool(self._agenda.due) and not self._halted and not self._crew.is_too_large

    async def _wait_for_next(self) -> bool:
        """Wait for the next item's attempt; False when it is too far away to keep a slot for."""
        seconds = self._agenda.seconds_to_next()
        if seconds > PATIENCE_SECONDS:
            return False
        await asyncio.sleep(max(0.0, seconds))
        self._agenda.wake()
        return True

    async def _work_through(self) -> None:
        self._crew = Crew(self._work, self._tools.settings.chunk_concurrency)
        await self._crew.run(len(self._agenda.due))

    async def _reserve(self, pool_for: PoolFor) -> tuple[KeyPool, Grant, float] | None:
        """Wait for a key's turn; return it with the seconds that it took. None: the chunk is to let go.

        Raises `Throttled` where the pool has nothing to give soon.
        """
        task, asked_at = asyncio.current_task(), time.monotonic()
        assert task is not None  # noqa: S101 - a coroutine always runs in a task
        self._waiting.add(task)
        try:
            pool = await pool_for(self._lease.tenant_id)
            grant = await pool.acquire(self._tenant, self._lease.priority)
            return pool, grant, time.monotonic() - asked_at
        except asyncio.CancelledError:
            if not self._halted:
                raise
            task.uncancel()
        except (LimitsUnavailable, SQLAlchemyError):
            # Limits are in Redis, keys in PostgreSQL: while one is away nothing is called.
            self._halt("limits_unavailable")
        except Misconfigured as error:
            # The worker's fault (ENCRYPTION_KEYS, limits of a key), not the rows': they wait until it is mended.
            log.error("keys_not_usable", tenant_id=str(self._lease.tenant_id), detail=error.message)
            self._halt("limits_unavailable")
        finally:
            self._waiting.discard(task)
        return None

    async def _read(self, read: Callable[[Connection], Loaded]) -> Loaded:
        """Read something of the chunk's tenant, outside the loop."""

        def in_scope() -> Loaded:
            with tenant_scope(self._lease.tenant_id) as connection:
                return read(connection)

        return await self._tools.in_thread(in_scope)

    def _hold(self, throttled: Throttled) -> None:
        """Let go because the keys have nothing to give; the client's lane is held until they have."""
        self._held = Hold.of(throttled, self._clock)
        self._halt("throttled")

    def _departs(self, pool: KeyPool, grant: Grant) -> float:
        """Count the call that the present task is about to make, and have the moment noted at which it leaves.

        Returns the monotonic moment, for `_report`.
        """
        self._tools.on_call(grant.key.fingerprint)
        departed.set(partial(pool.note_sent, grant))
        return time.monotonic()

    async def _report(
        self, provider: str, began: float, pool: KeyPool, grant: Grant, error: ProviderError | None
    ) -> float:
        """Tell figures and limits how the call with this key went; return how long it took, in ms."""
        ms = 1e3 * (time.monotonic() - began)
        self._tools.on_answer(self._lease.tenant_id, provider, ms, error)
        await self._tell_limits(pool, grant, error)
        return ms

    @staticmethod
    async def _tell_limits(pool: KeyPool, grant: Grant, error: ProviderError | None) -> None:
        if error is None:
            await pool.report(grant, "clean")
        else:
            effect = _EFFECTS[policy_of(error).key_effect]
            await pool.report(grant, effect, error.retry_after, error.message)

    def _halt(self, reason: str) -> None:
        """Stop taking items: who waits for a key lets go, what is being called is finished."""
        if self._halted is None or reason in AT_ONCE:
            self._halted = reason
        if reason in AT_ONCE:
            self._crew.dismiss()
        for task in self._waiting - {asyncio.current_task()}:
            task.cancel()

    def _check_keeper(self, keeper: asyncio.Task[None]) -> None:
        """Let go when nobody records and renews any more: the calls would go on unrecorded, or wait for ever."""
        if not keeper.cancelled() and (error := keeper.exception()):
            log.error("keeper_broke_off", chunk_id=self._lease.chunk_id, exc_info=error)
            self._halt("abandoned")

    async def _keep(self) -> None:
        """Record and renew at least once a second; notice what should end the run."""
        every = self._tools.settings.flush_seconds
        while True:
            try:
                async with asyncio.timeout(every):
                    await self._recorder.full.wait()
            except TimeoutError:
                pass
            retries = self._agenda.changes()
            try:
                kept = await self._recorder.flush(retries)
            except SQLAlchemyError as error:
                self._agenda.is_changed = self._agenda.is_changed or retries is not None
                log.warning(
                    "outcomes_not_recorded",
                    chunk_id=self._lease.chunk_id,
                    error=type(error).__name__,
                )
                drain_by = self._tools.drain_by()
                if drain_by is not None and time.monotonic() > drain_by:
                    self._halt("abandoned")
                await asyncio.sleep(every)
                continue
            if reason := self._reason_to_halt(kept):
                self._halt(reason)

    def _reason_to_halt(self, kept: records.Recorded) -> str | None:
        drain_by = self._tools.drain_by()
        if not kept.held:
            return "lost"
        if kept.cancel:
            return "cancelled"
        if drain_by is not None:
            return "draining" if time.monotonic() < drain_by else "abandoned"
        return "slice" if time.monotonic() > self._slice_ends else None
