"""What is known of a run's questions outside its process: answers in the table, waits, and who else is asking.

Each question is looked up once. One that another chunk is asking is waited for like one that this process is asking: the
table is looked at until the answer is there, the other lets go, or the wait was long enough.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from app.enrichment.claims import claim
from app.enrichment.memory import Memory, Question, Remembered, read_kept, read_waits
from app.enrichment.waits import Wait
from app.jobs.lease import Lease
from app.settings import Settings

if TYPE_CHECKING:
    from app.enrichment.guide import Step

log = structlog.get_logger(__name__)
#: How often the table is looked at for the answer to a question that another chunk is asking.
LOOK_SECONDS: Final = 0.25
Read = Callable[[Callable[[Connection], Any]], Awaitable[Any]]
Told = tuple[set[Question], dict[Question, Remembered], dict[Question, Wait]]


class Recollection:
    """The look-ups of one run. `read` reads something of the chunk's tenant outside the loop."""

    def __init__(self, lease: Lease, memory: Memory, settings: Settings, read: Read) -> None:
        self._lease = lease
        self._memory = memory
        self._settings = settings
        self._read = read
        self._looked_up: set[Question] = set()
        #: Questions that other chunks are asking, with what ends the wait, and its latest moment.
        self._elsewhere: dict[Question, tuple[asyncio.Event, float]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._has_let_go = asyncio.Event()

    async def look_up(self, steps: Iterable["Step"]) -> None:
        """Learn what is known of the questions that were not looked up yet. Raises `SQLAlchemyError`."""
        asked = {step.question: step for step in steps if step.question not in self._looked_up}
        self._looked_up |= set(asked)
        unknown = [question for question in asked if self._memory.recall(question) is None]
        if unknown:
            taken = await self._learn(unknown)
            self._wait_for(asked[question] for question in taken if self._is_kept(asked[question]))

    def has_looked_up(self, questions: Iterable[Question]) -> bool:
        """Tell whether all of these were looked up before."""
        return self._looked_up.issuperset(questions)

    def is_elsewhere(self, question: Question) -> bool:
        """Tell whether another chunk is asking this."""
        return question in self._elsewhere

    def flight(self, question: Question) -> asyncio.Event | None:
        """Return the event that ends the asking of this question, here or elsewhere; None when nobody is at it."""
        event, _ = self._elsewhere.get(question, (None, 0.0))
        return event or self._memory.flight(question)

    async def wait_for(self, flight: asyncio.Event) -> None:
        """Wait until a question was asked (`flight`), or until nobody is waited for any more: a search may take a minute."""
        waits = [asyncio.ensure_future(event.wait()) for event in (flight, self._has_let_go)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def let_go(self) -> None:
        """Wait for nobody any more."""
        self._has_let_go.set()
        if self._watch is not None:
            self._watch.cancel()
        self._land(list(self._elsewhere))

    async def _learn(self, questions: Sequence[Question]) -> list[Question]:
        """Remember what the table knows of questions; return those that it does not know and another chunk is asking."""
        tenant_id, settings = self._lease.tenant_id, self._settings

        def read(connection: Connection) -> Told:
            taken: set[Question] = set()
            if settings.enrichment_flight_seconds:
                # First: whoever lets go of a question has written the answer before, and it is read then.
                seconds = settings.lease_seconds
                taken = claim(connection, self._lease, questions, lease_seconds=seconds)
            kept = read_kept(connection, tenant_id, questions, shares=self._memory.shares)
            is_late = settings.public_url is not None
            return taken, kept, read_waits(connection, tenant_id, questions) if is_late else {}

        taken, kept, waits = await self._read(read)
        for question, remembered in kept.items():
            self._memory.keep(question, remembered)
        for question, wait in waits.items():
            self._memory.keep_wait(question, wait)
        return [question for question in taken if not self._is_known(question)]

    def _is_kept(self, step: "Step") -> bool:
        """Whether the other's answer will be remembered: else it would be waited for in vain."""
        return self._memory.seconds_to_keep(step.question_asked.wanted, is_miss=False) > 0

    def _is_known(self, question: Question) -> bool:
        memory = self._memory
        return memory.recall(question) is not None or memory.recall_wait(question) is not None

    def _wait_for(self, steps: Iterable["Step"]) -> None:
        now, seconds = time.monotonic(), self._settings.enrichment_flight_seconds
        for step in steps:
            # Of several calls the other makes each: who asked after the time of one would pay for all of them again.
            self._elsewhere[step.question] = (asyncio.Event(), now + step.calls * seconds)
        if self._elsewhere and self._watch is None:
            self._watch = asyncio.create_task(self._look_on())
            self._watch.add_done_callback(self._ended)

    async def _look_on(self) -> None:
        while self._elsewhere:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()
            self._land([q for q, (_, until) in self._elsewhere.items() if until <= now])
            waiting = list(self._elsewhere)
            if waiting:
                try:
                    taken = set(await self._learn(waiting))
                except SQLAlchemyError:
                    continue  # The wait has an end of its own.
                self._land([question for question in waiting if question not in taken])

    def _ended(self, watch: asyncio.Task[None]) -> None:
        self._watch = None
        self._land(list(self._elsewhere))
        if not watch.cancelled() and (error := watch.exception()):
            # Nothing is lost: nobody is waited for any more, and each asks for itself.
            log.error("claims_watch_broke_off", chunk_id=self._lease.chunk_id, exc_info=error)

    def _land(self, questions: Iterable[Question]) -> None:
        for question in questions:
            event, _ = self._elsewhere.pop(question, (None, 0.0))
            if event is not None:
                event.set()
