"""Run one chunk of verification: lease, check, reserve, call, record, finish or hand back.

Always holds: a call is reserved before it is made; no more than a second's or fifty calls' outcomes are unrecorded; a
chunk that lost its lease writes nothing more. The chunk hands itself back when its keys have nothing to give, when its
slice of time is over, when items must wait for their next attempt, and when the process is asked to stop.
"""

import asyncio
import time
from functools import partial
from random import uniform
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.scope import tenant_scope
from app.errors import Misconfigured
from app.jobs import lease as ledger
from app.jobs.lease import Lease, Outcome
from app.provider_errors import KeyEffect, ProviderError, policy_of
from app.verification.agenda import Agenda
from app.verification.crew import Crew
from app.verification.database_clock import DatabaseClock
from app.verification.departures import departed
from app.verification.ending import Hold, choose_ending, write_ending
from app.verification.recorder import Recorder
from app.verification.tools import Tools
from routing.key_pool import Grant, KeyPool, Throttled
from routing.key_pool import Outcome as KeyOutcome
from routing.rate_limits.errors import LimitsUnavailable

log = structlog.get_logger(__name__)
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


async def run_chunk(tools: Tools, chunk_id: int, fence: int, tenant_id: UUID) -> str:
    """Work on a released chunk; return how it ended.

    One of `stale` (not there to be taken), `done`, `cancelled`, `lost` (the lease went to another), or why it was
    handed back: `slice`, `draining`, `abandoned`, `retry`, `throttled`, `limits_unavailable`.
    """

    def take() -> tuple[Lease, list[tuple[int, str]]] | None:
        with tenant_scope(tenant_id) as connection:
            lease = ledger.take(
                connection,
                chunk_id,
                fence,
                worker=tools.worker_id,
                seconds=tools.settings.lease_seconds,
            )
            return (lease, ledger.pending_items(connection, lease)) if lease else None

    asked_at = time.monotonic()
    taken = await tools.in_thread(take)
    if taken is None:
        return "stale"
    return await ChunkRun(tools, *taken, asked_at=asked_at).run()


class ChunkRun:
    """One lease of one chunk."""

    def __init__(
        self, tools: Tools, lease: Lease, items: list[tuple[int, str]], *, asked_at: float
    ) -> None:
        self._tools = tools
        self._lease = lease
        self._clock = DatabaseClock(lease.taken_at)
        self._agenda = Agenda(
            items,
            lease.retries,
            tools.settings,
            provider=tools.provider.name,
            now=self._clock.epoch,
        )
        self._recorder = Recorder(tools, lease, asked_at=asked_at)
        self._halted: str | None = None
        self._held: Hold | None = None
        self._crew = Crew(self._work, tools.settings.chunk_concurrency)
        #: Those of the crew that wait for a key, and may be told to stop waiting.
        self._waiting: set[asyncio.Task[None]] = set()
        # Chunks that were released together must not come back together: the lane would stand still meanwhile.
        self._slice_ends = time.monotonic() + tools.settings.chunk_slice_seconds * uniform(0.5, 1)  # noqa: S311

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
            await self._recorder.flush(self._agenda.changes())
            raise
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        if self._halted == "lost":
            log.warning("lease_lost", chunk_id=self._lease.chunk_id, job_id=str(self._lease.job_id))
            return "lost"
        ending = choose_ending(self._lease, self._agenda, self._clock, self._halted, self._held)
        return await write_ending(self._tools, self._recorder, self._lease, ending)

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

    async def _work(self) -> None:
        agenda = self._agenda
        while agenda.due and not self._halted and not self._crew.is_too_large:
            if not self._recorder.is_open:
                await self._recorder.working.wait()
                continue
            item_no = agenda.due.popleft()
            email = agenda.emails[item_no]
            if (answer := await self._tools.checks.check(email)) is not None:
                self._recorder.add(agenda.answer(item_no, answer))
                self._crew.fit(0.0, len(agenda.due))
            elif (reserved := await self._reserve()) is None or not self._recorder.is_open:
                # The turn is let go by: while this process waited it may have been frozen for longer than its lease.
                agenda.due.appendleft(item_no)
            else:
                pool, grant, waited = reserved
                with self._crew.calling(waited, len(agenda.due)):
                    outcome = await self._call(item_no, email, pool, grant)
                if outcome is not None:
                    self._recorder.add(outcome)

    async def _reserve(self) -> tuple[KeyPool, Grant, float] | None:
        """Wait for a key's turn; return it with the seconds that it took. None: the chunk is to let go."""
        task, asked_at = asyncio.current_task(), time.monotonic()
        assert task is not None  # noqa: S101 - a coroutine always runs in a task
        self._waiting.add(task)
        try:
            pool = await self._tools.pool_for(self._lease.tenant_id)
            grant = await pool.acquire(str(self._lease.tenant_id), self._lease.priority)
            return pool, grant, time.monotonic() - asked_at
        except asyncio.CancelledError:
            if not self._halted:
                raise
            task.uncancel()
        except Throttled as throttled:
            self._held = Hold.of(throttled, self._clock)
            self._halt("throttled")
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

    async def _call(self, item_no: int, email: str, pool: KeyPool, grant: Grant) -> Outcome | None:
        self._tools.on_call(grant.key.fingerprint)
        departed.set(partial(pool.note_sent, grant))
        try:
            answer = await self._tools.provider.verify(email, grant.key.secret.get_secret_value())
        except ProviderError as error:
            effect = _EFFECTS[policy_of(error).key_effect]
            await pool.report(grant, effect, error.retry_after, error.message)
            return self._agenda.fail(item_no, error)
        await pool.report(grant, "clean")
        return self._agenda.answer(item_no, answer)

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

    def _reason_to_halt(self, kept: ledger.Recorded) -> str | None:
        drain_by = self._tools.drain_by()
        if not kept.held:
            return "lost"
        if kept.cancel:
            return "cancelled"
        if drain_by is not None:
            return "draining" if time.monotonic() < drain_by else "abandoned"
        return "slice" if time.monotonic() > self._slice_ends else None
