"""Which provider each lead of a run asks next: by its chain, by who can be asked, and by what is remembered.

Nothing here waits. A question whose answer is remembered is answered at once and the lead goes on to the next.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.enrichment.course import Course
from app.enrichment.leads import Unreadable
from app.enrichment.lookup import Lookup
from app.enrichment.memory import Memory, Question
from app.enrichment.notes import Note
from app.enrichment.provider import EnrichmentProvider, is_stepwise
from app.enrichment.reading import read_remembered
from app.provider_errors import ProviderError, policy_of
from app.work.agenda import Agenda
from routing.key_pool import Throttled

#: Why a provider was gone round, in the words of the result.
_CLOSED = {
    "daily_quota": "its keys' quota of the day is used up",
    "circuit_open": "its keys rest after errors",
    "no_keys": "there is no key for it",
}


@dataclass(slots=True)
class Step:
    """One lead's next question. `places` is how many leads one call of the provider takes, `calls` how many it may need."""

    item_no: int
    course: Course
    provider: str
    places: int
    question: Question
    question_asked: Lookup
    calls: int = 1


class Guide:
    """The way finder of one run. `flight` gives what ends the asking of a question, None when nobody is at it."""

    def __init__(
        self,
        providers: Mapping[str, EnrichmentProvider],
        memory: Memory,
        tenant_id: UUID,
        flight: Callable[[Question], asyncio.Event | None],
    ) -> None:
        self.providers = providers
        self._flight = flight
        self._memory = memory
        self._tenant = str(tenant_id)
        #: Provider -> why it has nothing to give, for the rest of the run.
        self._closed: dict[str, Throttled] = {}
        #: Leads that a provider is asked about alone, because a call about several went wrong.
        self._alone: set[tuple[int, str]] = set()
        #: The next step of each lead, until it is made (`forget`) or something new is known.
        self._steps: dict[int, Step] = {}

    def next_step(
        self, item_no: int, lead: Course | Unreadable, *, note: Callable[[Note], None]
    ) -> Step | None:
        """Return what a lead asks next, None for nobody; what is remembered is answered and noted on the way."""
        while isinstance(lead, Course) and (step := self._step(item_no, lead)) is not None:
            remembered = self._memory.recall(step.question)
            if remembered is None:
                return step
            read_remembered(step, remembered, note)
            del self._steps[item_no]
        return None

    def first_steps(self, courses: Mapping[int, Course]) -> list[Step]:
        """Return the first questions of leads, by their numbers, so that all can be looked up at once."""
        steps = (self._step(item_no, course) for item_no, course in courses.items())
        return [step for step in steps if step is not None]

    def can_join(self, step: Step, steps: Sequence[Step]) -> bool:
        """Whether a step may go out in one call with others: same provider, and nobody is asking the same."""
        if self._flight(step.question) is not None:
            return False
        return not steps or (
            step.places > 1
            and step.provider == steps[0].provider
            and all(step.question != other.question for other in steps)
        )

    def part(self, steps: Sequence[Step], error: ProviderError) -> bool:
        """Take in an error of a whole call; True: it may be the fault of any of its leads, so each is asked alone next."""
        if len(steps) < 2 or not policy_of(error).counts_attempt:
            return False
        self._alone.update((step.item_no, step.provider) for step in steps)
        for step in steps:
            self._steps.pop(step.item_no, None)
        return True

    def flight_of(self, agenda: Agenda[Course | Unreadable]) -> asyncio.Event | None:
        """Return what the first due lead waits for: the answer to its question, which another one asked."""
        for item_no in agenda.due:
            lead = agenda.items[item_no]
            step = self._step(item_no, lead) if isinstance(lead, Course) else None
            return self._flight(step.question) if step else None
        return None

    def forget(self, steps: Iterable[Step]) -> None:
        """Say that steps were made, however they went: what is next is to be found out anew."""
        for step in steps:
            self._steps.pop(step.item_no, None)

    def close(self, provider: str, throttled: Throttled) -> None:
        """Go round a provider for the rest of the run."""
        self._closed[provider] = throttled

    def soonest(self, lead: Course) -> Throttled | None:
        """Return which of the keys that a lead went round has something to give first; None: it went round none."""
        held_up = (name for name in lead.skipped if name in self._closed)
        waits = [self._closed[name] for name in held_up if name not in lead.unable]
        return min(waits, key=lambda throttled: throttled.wait_seconds, default=None)

    def _step(self, item_no: int, course: Course) -> Step | None:
        kept = self._steps.get(item_no)
        if kept is not None and kept.provider not in self._closed:
            return kept
        while (name := course.next_provider()) is not None:
            provider = self.providers.get(name)
            if provider is None:
                course.skipped[name] = f"{name} is not set up here."
                continue
            lookup = course.question(provider.finds)
            needs = provider.needs(lookup) if lookup else f"{name} does not find what is wanted."
            # First: a key that comes would help nothing, so it must not be waited for.
            if lookup is None or needs is not None:
                course.skipped[name] = needs or ""
                course.unable.add(name)
            elif name in self._closed:
                course.skipped[name] = _CLOSED[self._closed[name].reason]
            else:
                question = Question(self._tenant, name, lookup.identity)
                places = 1 if (item_no, name) in self._alone else provider.max_batch
                calls = provider.most_calls if is_stepwise(provider) else 1
                step = Step(item_no, course, name, places, question, lookup, calls)
                self._steps[item_no] = step
                return step
        return None
