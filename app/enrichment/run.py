"""Run one chunk of leads: each goes along its chain of providers until what is wanted is there, or nobody is left.

Leads that are to ask the same provider share a call where it takes several. An answer that is remembered costs none, and
a question that another lead is asking is waited for. A provider without a key to give is gone round; the chunk waits only
for leads that nobody else could say anything about.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from app.enrichment import closing
from app.enrichment.course import Course
from app.enrichment.guide import Guide, Step
from app.enrichment.leads import Leads, Plan, Unreadable, load_leads
from app.enrichment.lookup import Answer
from app.enrichment.memory import read_kept
from app.enrichment.notes import Find, Note, write_notes
from app.enrichment.provider import Outcome as Answered
from app.enrichment.reading import read_answer, read_error
from app.enrichment.tools import EnrichmentTools
from app.jobs import lease as ledger
from app.jobs.lease import Lease, Outcome
from app.provider_errors import ProviderError
from app.work.ending import HEAD_START_SECONDS, Ending
from app.work.run import ChunkRun, take_chunk
from routing.key_pool import Grant, KeyPool, Throttled

#: Reasons for which a pool has nothing to give for long: others are asked meanwhile.
LONG = frozenset({"daily_quota", "circuit_open", "no_keys"})


async def run_chunk(tools: EnrichmentTools, chunk_id: int, fence: int, tenant_id: UUID) -> str:
    """Work on a released chunk; return how it ended: `stale` (not there to be taken), or as `ChunkRun` says.

    Two more ways to be handed back: `waiting`, where the keys of all that could be asked have nothing to give, or an
    answer comes later.
    """
    asked_at = time.monotonic()
    taken = await take_chunk(tools, chunk_id, fence, tenant_id, _load)
    if taken is None:
        return "stale"
    lease, (plan, leads) = taken
    return await EnrichmentRun(tools, lease, plan, leads, asked_at=asked_at).run()


def _load(connection: Connection, lease: Lease) -> tuple[Plan, Leads]:
    plan = Plan.of(lease.params)
    return plan, load_leads(connection, lease, plan)


class EnrichmentRun(ChunkRun[Course | Unreadable]):
    """One lease of a chunk of leads."""

    def __init__(
        self, tools: EnrichmentTools, lease: Lease, plan: Plan, leads: Leads, *, asked_at: float
    ) -> None:
        super().__init__(tools, lease, leads, asked_at=asked_at)
        self._plan = plan
        self._pools, self._memory = tools.pools, tools.memory
        self._guide = Guide(tools.providers, tools.memory, lease.tenant_id)
        #: Until when and what for the chunk is put off, when it is.
        self._waits: tuple[datetime, str] | None = None

    @staticmethod
    def write_notes(connection: Connection, lease: Lease, notes: Sequence[Note]) -> None:
        """Write the questions, answers and finds of the chunk."""
        write_notes(connection, lease, notes)

    async def run(self) -> str:
        """Recall what is known of the leads' first questions; then as `ChunkRun` says."""
        courses = [lead for lead in self._agenda.items.values() if isinstance(lead, Course)]
        await self._recall(self._guide.first_steps(courses))
        return await super().run()

    def _ending(self) -> Ending:
        if self._halted != "waiting" or self._waits is None or not self._agenda:
            return super()._ending()
        (until, reason), retries = self._waits, dict(self._agenda.retries)
        return Ending("waiting", lambda c: ledger.put_back(c, self._lease, until, retries, reason))

    async def _work(self) -> None:
        while self._goes_on:
            if not self._recorder.is_open:
                await self._recorder.working.wait()
                continue
            steps = self._gather()
            if steps:
                await self._ask(steps)
            elif (flight := self._guide.flight_of(self._agenda)) is not None:
                await flight.wait()

    def _gather(self) -> list[Step]:
        """Take leads that ask the same provider, as many as one call takes; conclude those who ask nobody any more."""
        due, steps, aside = self._agenda.due, list[Step](), list[int]()
        while due and not self._halted and (not steps or len(steps) < steps[0].places):
            item_no = due.popleft()
            lead = self._agenda.items[item_no]
            step = self._guide.next_step(item_no, lead, note=self._recorder.note)
            if step is None:
                self._end_attempt(item_no, lead)
            elif self._guide.can_join(step, steps):
                steps.append(step)
            else:
                aside.append(item_no)
        due.extendleft(reversed(aside))
        return steps

    async def _ask(self, steps: list[Step]) -> None:
        """Ask one provider about some leads, which are due again afterwards."""
        self._memory.take_off(step.question for step in steps)
        try:
            asked = await self._recall(steps)
            if asked and (turn := await self._turn(asked[0].provider)) is not None:
                pool, grant, waited = turn
                with self._crew.calling(waited, len(self._agenda.due)):
                    await self._call(asked, pool, grant)
        finally:
            self._memory.land(step.question for step in steps)
            self._agenda.due.extendleft(reversed([step.item_no for step in steps]))

    async def _recall(self, steps: Sequence[Step]) -> list[Step]:
        """Look the questions up in the table; return those of which nothing is remembered."""
        unseen = self._guide.not_looked_up(steps)
        if unseen:
            tenant_id = self._lease.tenant_id
            kept = await self._read(lambda c: read_kept(c, tenant_id, unseen))
            for question, remembered in kept.items():
                self._memory.keep(question, remembered)
        return [step for step in steps if self._memory.recall(step.question) is None]

    async def _turn(self, provider: str) -> tuple[KeyPool, Grant, float] | None:
        if self._halted:
            return None
        try:
            turn = await self._reserve(self._pools[provider])
        except Throttled as throttled:
            if throttled.reason in LONG:
                self._guide.close(provider, throttled)
            else:
                self._wait_for(throttled)
            return None
        # While this process waited it may have been frozen for longer than its lease: the turn is let go by.
        return turn if self._recorder.is_open else None

    async def _call(self, steps: Sequence[Step], pool: KeyPool, grant: Grant) -> None:
        name = steps[0].provider
        provider, began = self._guide.providers[name], self._departs(pool, grant)
        failure: ProviderError | None = None
        outcomes: Sequence[Answered]
        try:
            outcomes = await provider.look_up(
                [step.question_asked for step in steps], grant.key.secret.get_secret_value()
            )
        except ProviderError as error:
            failure, outcomes = error, [error] * len(steps)
        ms = round(await self._report(name, began, pool, grant, failure))
        for step, outcome in zip(steps, outcomes, strict=True):
            if isinstance(outcome, Answer):
                read_answer(step, outcome, ms, self._memory, self._recorder.note)
            else:
                read_error(step, outcome, ms, self._recorder.note)

    def _end_attempt(self, item_no: int, lead: Course | Unreadable) -> None:
        """Conclude a lead that asks nobody any more, put it off to its next attempt, or let the chunk wait for keys."""
        if isinstance(lead, Unreadable):
            self._conclude(closing.failed(item_no, "invalid_input", lead.why))
        elif lead.failures and lead.missing:
            error = next(iter(lead.failures.values()))
            why = self._agenda.fail(item_no, error)
            if why is None:
                lead.begin_anew()
            else:
                self._conclude(closing.broken_off(item_no, lead, error.code, why))
        elif lead.is_settled:
            self._conclude(closing.answered(item_no, lead))
        elif (throttled := self._guide.soonest(lead)) is not None:
            lead.begin_anew()
            self._agenda.due.appendleft(item_no)
            self._wait_for(throttled)
        else:
            self._conclude(closing.unasked(item_no, lead))

    def _conclude(self, outcome: Outcome) -> None:
        self._agenda.conclude(outcome)
        email = _email_of(outcome)
        if self._plan.verifies and email and outcome.data is not None:
            self._recorder.note(Find(outcome.item_no, email, outcome.data))
        else:
            self._recorder.add(outcome)

    def _wait_for(self, throttled: Throttled) -> None:
        """Put the chunk off until these keys have something to give."""
        if self._halted is None:
            until = self._clock.after(throttled.wait_seconds - HEAD_START_SECONDS)
            self._waits = (until, throttled.reason)
        self._halt("waiting")


def _email_of(outcome: Outcome) -> str | None:
    fields = outcome.data["fields"] if outcome.data else {}
    return fields["email"]["value"] if "email" in fields else None
