"""Deliver what is due at one endpoint: lease, send, record, hand back.

Always holds: events of one job are sent one after the other, because only the first of them is due; events of different
jobs go at once, up to the pace that the endpoint keeps up with; no transaction is open while something is sent; what was
sent and not recorded, because this process died or lost its lease, is sent again by another with the same webhook-id.
"""

import asyncio
import time
from collections import deque
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.crypto import decrypt
from app.errors import Misconfigured
from app.jobs import lease as ledger
from app.jobs.lease import Lease
from app.webhooks import deliveries
from app.webhooks.attempts import attempt
from app.webhooks.client_secret import ensure_secret
from app.webhooks.deliveries import Due, Ended, Outcome, Recorded, Target
from app.webhooks.pace import Pace
from app.webhooks.scope import delivery_scope
from app.webhooks.signing import Signer
from app.webhooks.tools import Tools

log = structlog.get_logger(__name__)
#: Outcomes are recorded at most this late, or after so many.
FLUSH_SECONDS = 0.2
FLUSH_OUTCOMES = 50
#: While the database is away it is tried this often, and nothing is sent.
RETRY_SECONDS = 1.0
#: Between two attempts to read a secret.
NOT_USABLE_SECONDS = 60.0
#: Something may come up while attempts are under way: it is looked for this often.
LOOK_SECONDS = 1.0
DAY_SECONDS = 86_400.0


async def run_chunk(tools: Tools, chunk_id: int, fence: int, tenant_id: UUID) -> str:
    """Work on a released chunk; return how it ended.

    One of `stale` (not there to be taken), `done` (nothing is open), `later` (it comes back by itself), `lost` (the lease
    went to another), `removed` (the endpoint is gone), `not_usable` (its secret can't be read).
    """

    def take() -> tuple[Lease, Target | None] | None:
        with delivery_scope(tenant_id) as connection:
            lease = ledger.take(
                connection,
                chunk_id,
                fence,
                worker=tools.worker_id,
                seconds=tools.settings.lease_seconds,
            )
            if lease is None:
                return None
            target = deliveries.target_of(connection, lease)
            if target is not None and target.secret is None:
                ensure_secret(connection)
                target = deliveries.target_of(connection, lease)
            if target is None:
                ledger.finish(connection, lease)
            return lease, target

    asked_at = time.monotonic()
    taken = await tools.in_thread(take)
    if taken is None:
        return "stale"
    lease, target = taken
    if target is None:
        return "removed"
    return await DeliveryRun(tools, lease, target, asked_at=asked_at).run()


class DeliveryRun:
    """One lease of one endpoint's chunk. `asked_at` is the monotonic moment before the lease was taken."""

    def __init__(self, tools: Tools, lease: Lease, target: Target, *, asked_at: float) -> None:
        self._tools = tools
        self._lease = lease
        self._target = target
        self._pace = Pace(tools.settings.webhook_concurrency, target.failures)
        self._queue: deque[Due] = deque()
        self._flying: dict[asyncio.Task[Outcome], int] = {}
        self._outcomes: list[Outcome] = []
        self._is_enabled = target.is_enabled
        self._is_lost = False
        self._may_be_more = target.not_before is None
        now = time.monotonic()
        self._slice_ends = now + tools.settings.chunk_slice_seconds
        self._recorded_at = now
        self._held_until = asked_at + tools.settings.lease_seconds
        self._looked_at = 0.0

    async def run(self) -> str:
        """Send until nothing is due or it is time to leave; then let go of the chunk."""
        try:
            signer = self._signer()
        except Misconfigured as error:
            # The worker's fault (ENCRYPTION_KEYS): the events wait until it is mended.
            log.error("secret_not_usable", endpoint_id=str(self._target.id), detail=error.message)
            await self._tools.in_thread(self._put_back)
            return "not_usable"
        try:
            while True:
                await self._send_what_is_due(signer)
                if self._is_lost:
                    log.warning("lease_lost", chunk_id=self._lease.chunk_id)
                    return "lost"
                ended = await self._end(must_leave=self._must_leave)
                if ended != "more":
                    return ended
                self._may_be_more = True
        finally:
            for task in self._flying:
                task.cancel()

    def _signer(self) -> Signer:
        kept = (self._target.secret, self._target.previous)
        return Signer([decrypt(secret) for secret in kept if secret is not None])

    @property
    def _is_out_of_time(self) -> bool:
        drain_by = self._tools.drain_by()
        return drain_by is not None and time.monotonic() > drain_by

    @property
    def _must_leave(self) -> bool:
        return (
            self._tools.drain_by() is not None
            or self._pace.pause is not None
            or time.monotonic() > self._slice_ends
        )

    async def _send_what_is_due(self, signer: Signer) -> None:
        """Keep as many attempts under way as the pace allows; leave with none under way and all recorded."""
        while not self._is_lost:
            is_open = not self._must_leave and time.monotonic() < self._held_until
            if is_open and not self._queue and self._may_look:
                await self._look()
            while is_open and self._queue and len(self._flying) < self._pace.limit:
                due = self._queue.popleft()
                self._flying[asyncio.create_task(self._attempt(due, signer))] = due.id
            if self._is_out_of_time:
                # Their answers are nobody's any more: another worker sends these again, with the same id.
                for task in self._flying:
                    task.cancel()
                self._flying.clear()
            if not self._flying:
                if self._outcomes or not is_open:
                    await self._flush()
                if is_open and (self._queue or self._may_be_more) and not self._must_leave:
                    continue
                return
            await self._collect()

    @property
    def _may_look(self) -> bool:
        """Whether asking for more makes sense: something may have come up, and it was not asked just now."""
        if not self._flying:
            return self._may_be_more
        return time.monotonic() - self._looked_at > FLUSH_SECONDS

    async def _look(self) -> None:
        flying = [*self._flying.values(), *(outcome.id for outcome in self._outcomes)]

        def ask() -> list[Due]:
            with delivery_scope(self._lease.tenant_id) as connection:
                return deliveries.due(connection, self._target, flying=flying)

        self._looked_at = time.monotonic()
        try:
            found = await self._tools.in_thread(ask)
        except SQLAlchemyError as error:
            log.warning("deliveries_not_read", error=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)
            return
        self._queue.extend(found)
        self._may_be_more = len(found) == deliveries.BATCH

    async def _collect(self) -> None:
        """Wait for an attempt to end, not for long; record when it is time to, and renew the lease."""
        done, _ = await asyncio.wait(
            self._flying,
            timeout=FLUSH_SECONDS if self._outcomes else LOOK_SECONDS,
            return_when=asyncio.FIRST_COMPLETED,
        )
        for task in done:
            del self._flying[task]
            self._outcomes.append(task.result())
        age = time.monotonic() - self._recorded_at
        late = FLUSH_SECONDS if self._outcomes else self._tools.settings.lease_seconds / 4
        if age > late or len(self._outcomes) >= FLUSH_OUTCOMES:
            await self._flush()

    async def _attempt(self, due: Due, signer: Signer) -> Outcome:
        outcome, verdict = await attempt(self._tools, self._target, signer, due)
        self._pace.note(is_good=verdict.status == "delivered", pause=verdict.pause)
        return outcome

    async def _flush(self) -> None:
        """Record what has ended and renew the lease; tries until the database takes it, or the process must go."""
        batch, settings = list(self._outcomes), self._tools.settings
        pause = self._pace.pause

        def write() -> Recorded:
            with delivery_scope(self._lease.tenant_id) as connection:
                return deliveries.record(
                    connection,
                    self._lease,
                    self._target,
                    batch,
                    seconds=settings.lease_seconds,
                    pause=pause,
                    disable_after_seconds=settings.webhook_disable_after_days * DAY_SECONDS,
                )

        while True:
            asked_at = time.monotonic()
            try:
                done = await self._tools.in_thread(write)
                break
            except SQLAlchemyError as error:
                log.warning("deliveries_not_recorded", error=type(error).__name__)
                if self._is_out_of_time:
                    self._is_lost = True
                    return
                await asyncio.sleep(RETRY_SECONDS)
        self._recorded_at = time.monotonic()
        if not done.held:
            self._is_lost = True
            return
        self._held_until = asked_at + settings.lease_seconds
        del self._outcomes[: len(batch)]
        # An event that was delivered may let the next of its job come up.
        self._may_be_more = self._may_be_more or bool(batch)
        if self._is_enabled and not done.is_enabled:
            self._is_enabled = False
            self._queue.clear()

    async def _end(self, *, must_leave: bool) -> Ended:
        def write() -> Ended:
            with delivery_scope(self._lease.tenant_id) as connection:
                return deliveries.end(connection, self._lease, self._target, must_leave=must_leave)

        return await self._tools.in_thread(write)

    def _put_back(self) -> None:
        with delivery_scope(self._lease.tenant_id) as connection:
            later = self._lease.taken_at + timedelta(seconds=NOT_USABLE_SECONDS)
            ledger.put_back(connection, self._lease, later)
