"""Run one chunk of verification: check each address here, ask the job's provider about the rest.

A job whose provider is not the usual one waits for keys by itself. Where the usual one's keys have nothing to give, the
client's lane is held, unless jobs with another provider are in it: then that job waits by itself, too.
"""

import time
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection

from app.jobs import lease as ledger
from app.jobs.lease import Lease, pending_items
from app.jobs.records import Outcome
from app.provider_errors import ProviderError
from app.verdicts import Verdict
from app.verification.provider import Answer
from app.verification.tools import VerificationTools
from app.work.ending import Ending
from app.work.run import ChunkRun, take_chunk
from routing.key_pool import Grant, KeyPool, Throttled


async def run_chunk(tools: VerificationTools, chunk_id: int, fence: int, tenant_id: UUID) -> str:
    """Work on a released chunk; return how it ended: `stale` (not there to be taken), or as `ChunkRun` says."""
    asked_at = time.monotonic()
    taken = await take_chunk(tools, chunk_id, fence, tenant_id, _load)
    if taken is None:
        return "stale"
    return await VerificationRun(tools, *taken, asked_at=asked_at).run()


def _load(connection: Connection, lease: Lease) -> dict[int, str]:
    return dict(pending_items(connection, lease))


class VerificationRun(ChunkRun[str]):
    """One lease of a chunk of addresses."""

    def __init__(
        self, tools: VerificationTools, lease: Lease, items: dict[int, str], *, asked_at: float
    ) -> None:
        super().__init__(tools, lease, items, asked_at=asked_at)
        self._usual = tools.settings.verification_provider
        name = str(lease.params.get("verifier") or self._usual)
        self._checks, self._provider = tools.checks, tools.providers[name]
        self._pool_for = tools.pools[name]

    def _ending(self) -> Ending:
        ending, held = super()._ending(), self._held
        if ending.how != "throttled" or held is None:
            return ending
        lease, retries = self._lease, dict(self._agenda.retries)
        is_usual = self._provider.name == self._usual

        def let_go(connection: Connection) -> bool:
            if is_usual and not ledger.lane_is_mixed(connection, self._usual):
                return ending.action(connection)
            until, noticed_at = held.until, held.noticed_at
            return ledger.put_off(
                connection, lease, until, held.reason, retries, noticed_at=noticed_at
            )

        return Ending("throttled", let_go)

    async def _work(self) -> None:
        agenda = self._agenda
        while self._goes_on:
            if not self._recorder.is_open:
                await self._recorder.working.wait()
                continue
            item_no = agenda.due.popleft()
            email = agenda.items[item_no]
            if (answer := await self._checks.check(email)) is not None:
                self._recorder.add(self._conclude(item_no, answer))
                self._crew.fit(0.0, len(agenda.due))
            elif (reserved := await self._turn()) is None or not self._recorder.is_open:
                # The turn is let go by: while this process waited it may have been frozen for longer than its lease.
                agenda.due.appendleft(item_no)
            else:
                pool, grant, waited = reserved
                self._crew.begin_call(waited, len(agenda.due))
                try:
                    outcome = await self._call(item_no, email, pool, grant)
                finally:
                    self._crew.end_call()
                if outcome is not None:
                    self._recorder.add(outcome)

    async def _turn(self) -> tuple[KeyPool, Grant, float] | None:
        try:
            return await self._reserve(self._pool_for)
        except Throttled as throttled:
            self._hold(throttled)
            return None

    async def _call(self, item_no: int, email: str, pool: KeyPool, grant: Grant) -> Outcome | None:
        began, name = self._departs(pool, grant), self._provider.name
        try:
            answer = await self._provider.verify(email, grant.key.secret.get_secret_value())
        except ProviderError as error:
            await self._report(name, began, pool, grant, error)
            return self._fail(item_no, error)
        await self._report(name, began, pool, grant, None)
        return self._conclude(item_no, answer)

    def _conclude(self, item_no: int, answer: Answer) -> Outcome:
        return self._agenda.conclude(
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

    def _fail(self, item_no: int, error: ProviderError) -> Outcome | None:
        if (why := self._agenda.fail(item_no, error)) is None:
            return None
        return self._agenda.conclude(
            Outcome(
                item_no,
                Verdict.UNKNOWN.value,
                error.code,
                why,
                None,
                self._provider.name,
                datetime.now(UTC),
                is_failure=True,
            )
        )
