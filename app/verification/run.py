"""Run one chunk of verification: lease, check, reserve, call, record, finish or hand back.

Always holds: a call is reserved before it is made; no more than a second's or fifty calls' outcomes are unrecorded; a
chunk that lost its lease writes nothing more. The chunk hands itself back when its keys have nothing to give, when its
slice of time is over, when items must wait for their next attempt, and when the process is asked to stop.
"""

import asyncio
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from routing.key_pool import Grant, Throttled
from sqlalchemy.exc import DBAPIError

from app.db.scope import tenant_scope
from app.jobs import lease as ledger
from app.jobs.lease import Lease, Outcome
from app.provider_errors import KeyEffect, ProviderError, policy_of
from app.verification.provider import Answer
from app.verification.recorder import Recorder
from app.verification.retries import backoff_seconds
from app.verification.tools import Tools
from app.verification.verdicts import Verdict
from routing.rate_limits.errors import LimitsUnavailable

log = structlog.get_logger(__name__)
#: An item whose next attempt is this near is waited for; a later one gives the slot away.
PATIENCE_SECONDS = 1.0
#: A held lane is released this much before its keys are free, so that the calls are ready when they are.
HEAD_START = timedelta(seconds=1)
#: What limits that can't be asked cost: they fail closed, and nothing is called until Redis is back.
LIMITS_AWAY = timedelta(seconds=2)


async def run_chunk(tools: Tools, chunk_id: int, fence: int, tenant_id: UUID) -> str:
    """Work on a released chunk; return how it ended.

    One of `stale` (not there to be taken), `done`, `cancelled`, `lost` (the lease went to another), or why it was
    handed back: `slice`, `draining`, `retry`, `throttled`, `limits_unavailable`.
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

    taken = await tools.in_thread(take)
    if taken is None:
        return "stale"
    return await ChunkRun(tools, *taken).run()


class ChunkRun:
    """One lease of one chunk."""

    def __init__(self, tools: Tools, lease: Lease, items: list[tuple[int, str]]) -> None:
        self.tools = tools
        self.lease = lease
        self.emails = dict(items)
        self.retries = {no: kept for no, kept in lease.retries.items() if no in self.emails}
        now = time.time()
        self.due = deque(no for no in self.emails if self._not_before(no) <= now)
        self.later = {no for no in self.emails if self._not_before(no) > now}
        self.recorder = Recorder(tools, lease)
        self.halted: str | None = None
        self.wait: Throttled | None = None
        self.waiting: set[asyncio.Task[None]] = set()
        self.retries_changed = False
        self.slice_ends = time.monotonic() + tools.settings.chunk_slice_seconds

    def _not_before(self, item_no: int) -> float:
        return self.retries[item_no][1] if item_no in self.retries else 0.0

    async def run(self) -> str:
        """Work until nothing is due, or until halted; then end the chunk."""
        keeper = asyncio.create_task(self._keep())
        try:
            while not self.halted and (self.due or self.later):
                if not self.due and not await self._wait_for_later():
                    break
                await self._work_through()
        except Exception:
            # A defect of ours: what was paid for is kept, then the lease runs out and the attempt counts.
            await self.recorder.flush(dict(self.retries))
            raise
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        return await self._end()

    async def _work_through(self) -> None:
        count = min(self.tools.settings.chunk_concurrency, len(self.due))
        workers = [asyncio.create_task(self._work()) for _ in range(count)]
        try:
            await self._let_finish(workers)
        finally:
            for worker in workers:
                worker.cancel()
        for worker in workers:
            if worker.done() and not worker.cancelled():
                worker.result()

    async def _let_finish(self, workers: list[asyncio.Task[None]]) -> None:
        pending: set[asyncio.Task[None]] = set(workers)
        while pending:
            done, pending = await asyncio.wait(
                pending, timeout=0.25, return_when=asyncio.FIRST_EXCEPTION
            )
            if any(not worker.cancelled() and worker.exception() for worker in done):
                return
            if self.halted in ("lost", "abandoned"):
                return

    async def _work(self) -> None:
        while self.due and not self.halted:
            await self.recorder.working.wait()
            item_no = self.due.popleft()
            answer = await self.tools.checks.check(self.emails[item_no])
            if answer is not None:
                self._answered(item_no, answer)
            elif grant := await self._reserve(item_no):
                await self._call(item_no, grant)

    async def _reserve(self, item_no: int) -> Grant | None:
        """Wait for a key's turn; None: the chunk is to let go, and the item is due again."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in a task
        self.waiting.add(task)
        try:
            pool = await self.tools.pool_for(self.lease.tenant_id)
            return await pool.acquire(str(self.lease.tenant_id))
        except asyncio.CancelledError:
            if not self.halted:
                raise
            task.uncancel()
        except Throttled as throttled:
            self.wait = throttled
            self._halt("throttled")
        except (LimitsUnavailable, DBAPIError):
            # Keys and limits can't be had while Redis or PostgreSQL is away: nothing is called without them.
            self._halt("limits_unavailable")
        finally:
            self.waiting.discard(task)
        self.due.appendleft(item_no)
        return None

    async def _call(self, item_no: int, grant: Grant) -> None:
        self.tools.on_call(grant.key.fingerprint)
        pool = await self.tools.pool_for(self.lease.tenant_id)
        try:
            answer = await self.tools.provider.verify(
                self.emails[item_no], grant.key.secret.get_secret_value()
            )
        except ProviderError as error:
            await pool.report(grant, *_health(error))
            self._failed(item_no, error)
        else:
            await pool.report(grant, "clean")
            self._answered(item_no, answer)

    def _answered(self, item_no: int, answer: Answer) -> None:
        self._conclude(
            Outcome(
                item_no,
                answer.verdict.value,
                answer.code,
                answer.message,
                answer.mx,
                answer.provider,
                answer.checked_at,
            )
        )

    def _failed(self, item_no: int, error: ProviderError) -> None:
        policy = policy_of(error)
        if not policy.counts_attempt:
            self.due.append(item_no)
            return
        attempts = self.retries.get(item_no, (0, 0.0, ""))[0] + 1
        if policy.retry and attempts < self.tools.settings.item_max_attempts:
            delay = max(backoff_seconds(attempts, self.tools.settings), error.retry_after or 0)
            self.retries[item_no] = (attempts, time.time() + delay, error.message)
            self.retries_changed = True
            self.later.add(item_no)
            return
        tries = f"after {attempts} attempts" if attempts > 1 else "at the first attempt"
        self._conclude(
            Outcome(
                item_no,
                Verdict.UNKNOWN.value,
                error.code,
                f"No verdict {tries}: {error.message}",
                None,
                self.tools.provider.name,
                datetime.now(UTC),
                is_failure=True,
            )
        )

    def _conclude(self, outcome: Outcome) -> None:
        if self.retries.pop(outcome.item_no, None):
            self.retries_changed = True
        self.emails.pop(outcome.item_no)
        self.recorder.add(outcome)

    async def _wait_for_later(self) -> bool:
        """Wait for items whose next attempt is near; False when the nearest is too far to keep a slot for."""
        nearest = min(self._not_before(no) for no in self.later)
        delay = nearest - time.time()
        if delay > PATIENCE_SECONDS:
            return False
        await asyncio.sleep(max(0.0, delay))
        now = time.time()
        ready = {no for no in self.later if self._not_before(no) <= now}
        self.later -= ready
        self.due.extend(sorted(ready))
        return True

    def _halt(self, reason: str) -> None:
        """Stop taking items: what waits for a key lets go, what is being called is finished."""
        if self.halted is None:
            self.halted = reason
        for task in list(self.waiting):
            task.cancel()

    async def _keep(self) -> None:
        """Record and renew at least once a second; notice what should end the run."""
        every = self.tools.settings.flush_seconds
        while True:
            try:
                async with asyncio.timeout(every):
                    await self.recorder.full.wait()
            except TimeoutError:
                pass
            try:
                kept = await self.recorder.flush(self._changed_retries())
            except DBAPIError as error:
                log.warning(
                    "outcomes_not_recorded",
                    chunk_id=self.lease.chunk_id,
                    error=type(error.orig).__name__,
                )
                self.retries_changed = True
                await asyncio.sleep(every)
                continue
            if not kept.held:
                self.halted = "lost"
                self._halt("lost")
            elif kept.cancel:
                self._halt("cancelled")
            elif (drain_by := self.tools.drain_by()) is not None:
                self._halt("draining")
                if time.monotonic() > drain_by:
                    self.halted = "abandoned"
            elif time.monotonic() > self.slice_ends:
                self._halt("slice")

    def _changed_retries(self) -> dict[int, tuple[int, float, str]] | None:
        if not self.retries_changed:
            return None
        self.retries_changed = False
        return dict(self.retries)

    async def _end(self) -> str:
        lease, retries = self.lease, dict(self.retries)
        if self.halted == "lost":
            log.warning("lease_lost", chunk_id=lease.chunk_id, job_id=str(lease.job_id))
            return "lost"
        if not self.emails:
            how, held = "done", await self._close(lambda c: ledger.finish(c, lease))
        elif self.halted == "cancelled":
            how, held = (
                "cancelled",
                await self._close(lambda c: ledger.finish(c, lease, "cancelled")),
            )
        else:
            how, run_at, reason = self._resume()
            if self.wait is not None and how == "throttled":
                held = await self._close(
                    lambda c: (
                        _hold(c, lease, run_at, reason)
                        and ledger.put_back(c, lease, run_at, retries)
                    )
                )
            else:
                held = await self._close(lambda c: ledger.put_back(c, lease, run_at, retries))
        return how if held else "lost"

    def _resume(self) -> tuple[str, datetime, str]:
        now = datetime.now(UTC)
        if self.wait is not None and self.halted == "throttled":
            return "throttled", max(now, self.wait.not_before - HEAD_START), self.wait.reason
        if self.halted == "limits_unavailable":
            return "limits_unavailable", now + LIMITS_AWAY, ""
        if self.halted:
            # It keeps its place: what was begun first ends first.
            return self.halted, self.lease.run_at, ""
        return "retry", datetime.fromtimestamp(min(map(self._not_before, self.later)), UTC), ""

    async def _close(self, action: object) -> bool:
        """End the chunk; while the database is away, keep trying until the process must go."""
        while True:
            try:
                return await self.recorder.end(action, dict(self.retries))
            except DBAPIError as error:
                drain_by = self.tools.drain_by()
                if drain_by is not None and time.monotonic() > drain_by:
                    raise
                log.warning(
                    "chunk_not_ended", chunk_id=self.lease.chunk_id, error=type(error.orig).__name__
                )
                await asyncio.sleep(1)


def _hold(connection: object, lease: Lease, until: datetime, reason: str) -> bool:
    ledger.hold_lane(connection, lease.kind, until, reason)  # type: ignore[arg-type]
    return True


def _health(error: ProviderError) -> tuple[str] | tuple[str, float | None]:
    effect = policy_of(error).key_effect
    if effect is KeyEffect.SLOW_DOWN:
        return "throttled", error.retry_after
    return {KeyEffect.OPEN: ("unauthorized",), KeyEffect.FAILURE: ("failed",)}.get(
        effect, ("clean",)
    )
