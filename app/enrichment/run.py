"""Run one chunk of leads: each goes along its chain of providers until what is wanted is there, or nobody is left.

Leads that are to ask the same provider share a call where it takes several. An answer that is remembered costs none, and
a question that another lead is asking is waited for. A provider without a key to give is gone round; the chunk waits only
for leads that nobody else could say anything about. Leads that wait, for keys or for an answer that comes later, are set
aside while others go on; then the chunk is put back until the first of them can go on.
"""

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from app.enrichment import closing
from app.enrichment.course import Course
from app.enrichment.guide import Guide, Step
from app.enrichment.later import Later
from app.enrichment.leads import Leads, Plan, Unreadable, load_leads
from app.enrichment.lookup import Answer
from app.enrichment.notes import Find
from app.enrichment.provider import Outcome as Answered
from app.enrichment.provider import ask
from app.enrichment.reading import read_answer, read_error
from app.enrichment.recollection import Recollection
from app.enrichment.record import record_with_attempts, write_record
from app.enrichment.tools import EnrichmentTools
from app.enrichment.waiting import Waiting
from app.enrichment.waits import Over
from app.jobs.lease import Lease
from app.jobs.records import Outcome
from app.provider_errors import ProviderError
from app.work.ending import Ending
from app.work.run import ChunkRun, take_chunk
from routing.key_pool import Grant, KeyPool, Throttled

#: Reasons for which a pool has nothing to give for long: others are asked meanwhile.
LONG = frozenset({"daily_quota", "circuit_open", "no_keys"})
_WITHOUT_ANSWER = frozenset({"late", "refused"})


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

    goal = "answer"

    def __init__(
        self, tools: EnrichmentTools, lease: Lease, plan: Plan, leads: Leads, *, asked_at: float
    ) -> None:
        super().__init__(tools, lease, leads, asked_at=asked_at)
        self._plan = plan
        self._pools, self._memory = tools.pools, tools.memory
        self._known = Recollection(lease, tools.memory, tools.settings, self._read)
        self._guide = Guide(tools.providers, tools.memory, lease.tenant_id, self._known.flight)
        self._later = Later(tools.settings, tools.memory, self._recorder.note)
        self._held_up = Waiting(lease, self._clock)

    @staticmethod
    def write_notes(connection: Connection, lease: Lease, notes: Sequence[Any]) -> None:
        """Write the questions, answers and finds of the chunk, and what it waits for."""
        write_record(connection, lease, notes)

    record_noted = staticmethod(record_with_attempts)

    async def run(self) -> str:
        """Recall what is known of the leads' first questions; then as `ChunkRun` says."""
        asking = {
            item_no: lead
            for item_no, lead in self._agenda.items.items()
            if isinstance(lead, Course) and lead.waits_for is None
        }
        try:
            await self._recall(self._guide.first_steps(asking))
            return await super().run()
        finally:
            self._known.let_go()

    def _ending(self) -> Ending:
        if not self._held_up or not self._agenda or self._halted not in (None, "waiting"):
            return super()._ending()
        retries, goes_on = (
            dict(self._agenda.retries),
            self._halted is None and self._agenda.has_more,
        )
        moment = self._agenda.next_moment() if goes_on else None
        return Ending("waiting", lambda c: self._held_up.put_back(c, retries, moment))

    async def _work(self) -> None:
        while self._goes_on:
            if not self._recorder.is_open:
                await self._recorder.working.wait()
                continue
            steps = self._gather()
            if steps:
                await self._ask(steps)
            elif (flight := self._guide.flight_of(self._agenda)) is not None:
                await self._known.wait_for(flight)

    def _gather(self) -> list[Step]:
        """Take leads that ask the same provider, as many as one call takes; conclude those who ask nobody any more."""
        due, steps, aside = self._agenda.due, list[Step](), list[int]()
        while due and not self._halted and (not steps or len(steps) < steps[0].places):
            item_no = due.popleft()
            lead = self._agenda.items[item_no]
            if isinstance(lead, Course) and (provider := lead.waits_for) is not None:
                self._held_up.for_answer(item_no, provider)
                continue
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
        questions = [step.question for step in steps]
        self._memory.take_off(questions)
        try:
            # Who looked before knows that nothing is remembered, and nobody else asking: `_gather` has seen it just now.
            asked = steps if self._known.has_looked_up(questions) else await self._recall(steps)
            if self._later.is_possible:
                asked = [step for step in asked if not self._later.join(step)]
            # A provider that needs another call about its lead has it now: its question stays this lead's meanwhile.
            while asked and (turn := await self._turn(asked[0].provider)) is not None:
                pool, grant, waited = turn
                self._crew.begin_call(waited, len(self._agenda.due))
                try:
                    asked = await self._call(asked, pool, grant)
                finally:
                    self._crew.end_call()
        finally:
            self._memory.land(questions)
            self._guide.forget(steps)
            self._agenda.due.extendleft(reversed([step.item_no for step in steps]))

    async def _recall(self, steps: Sequence[Step]) -> list[Step]:
        """Look the questions up in the table; return those of which nothing is remembered, and nobody else asks.

        While the table can't be read nothing is asked: what it remembers was paid for.
        """
        try:
            await self._known.look_up(steps)
        except SQLAlchemyError:
            self._halt("limits_unavailable")
            return []
        return [
            step
            for step in steps
            if self._memory.recall(step.question) is None
            and not self._known.is_elsewhere(step.question)
        ]

    def _halt(self, reason: str) -> None:
        super()._halt(reason)
        self._known.let_go()

    async def _turn(self, provider: str) -> tuple[KeyPool, Grant, float] | None:
        if self._halted:
            return None
        try:
            turn = await self._reserve(self._pools[provider])
        except Throttled as throttled:
            if throttled.reason in LONG:
                self._guide.close(provider, throttled)
            else:
                self._held_up.for_keys(throttled)
                self._halt("waiting")
            return None
        # While this process waited it may have been frozen for longer than its lease: the turn is let go by.
        return turn if self._recorder.is_open else None

    async def _call(self, steps: Sequence[Step], pool: KeyPool, grant: Grant) -> list[Step]:
        """Make a call about some leads and take in what it brings; return those about which there is another to make."""
        name = steps[0].provider
        provider, began = self._guide.providers[name], self._departs(pool, grant)
        ticket = self._later.ticket_for(provider, steps[0])
        failure: ProviderError | None = None
        is_shared = False
        outcomes: Sequence[Answered]
        try:
            outcomes = await ask(
                provider,
                [step.question_asked for step in steps],
                grant.key.secret.get_secret_value(),
                step=steps[0].course.steps.get(name),
                callback_url=self._later.address_of(ticket),
            )
        except ProviderError as error:
            failure, outcomes = error, [error] * len(steps)
            is_shared = self._guide.part(steps, error)
        ms = round(await self._report(name, began, pool, grant, failure))
        unfinished = list[Step]()
        for step, outcome in zip(steps, outcomes, strict=True):
            if not isinstance(outcome, Answer):
                read_error(step, outcome, ms, self._recorder.note, is_shared=is_shared)
                continue
            answer = outcome if outcome.pending is None else self._later.settle(outcome, ticket)
            read_answer(step, answer, ms, self._memory, self._recorder.note)
            if answer.pending is not None:
                self._later.wait(step, answer, ticket)
            if answer.next_step is not None:
                unfinished.append(step)
        return unfinished

    def _end_attempt(self, item_no: int, lead: Course | Unreadable) -> None:
        """Conclude a lead that asks nobody any more, put it off to its next attempt, or set it aside until there are keys."""
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
            self._held_up.for_keys(throttled)
        else:
            self._conclude(closing.unasked(item_no, lead))

    def _conclude(self, outcome: Outcome) -> None:
        lead = self._agenda.items[outcome.item_no]
        if isinstance(lead, Course):
            self._held_up.has_concluded = True
            if not _WITHOUT_ANSWER.isdisjoint(lead.answers.values()):
                self._recorder.note(Over(outcome.item_no))
        self._agenda.conclude(outcome)
        if self._plan.verifies and outcome.data is not None and not outcome.is_failure:
            known = lead.lookup if isinstance(lead, Course) else None
            if email := closing.email_to_verify(outcome, known):
                self._recorder.note(Find(outcome.item_no, email, outcome.data))
                return
        self._recorder.add(outcome)
