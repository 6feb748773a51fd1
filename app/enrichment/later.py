"""A run's part in answers that come later: the address that a provider is told, and whom a lead waits with.

A question that is waited for already, by whichever lead of the client, is not asked again: the lead waits for the same
call. Where the installation has no public address nothing is asked for that comes later.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from app.enrichment.callbacks import Ticket
from app.enrichment.course import read_findings
from app.enrichment.lookup import Answer
from app.enrichment.memory import Memory
from app.enrichment.notes import Attempt
from app.enrichment.provider import EnrichmentProvider, is_late
from app.enrichment.waits import Wait, describe_question
from app.settings import Settings

if TYPE_CHECKING:
    from app.enrichment.guide import Step


class Later:
    """What a run needs to ask for later answers. `note` keeps something for the next record."""

    def __init__(self, settings: Settings, memory: Memory, note: Callable[[object], None]) -> None:
        self._settings = settings
        self._memory = memory
        self._note = note
        #: Whether vendors can reach this installation.
        self.is_possible = settings.public_url is not None

    def ticket_for(self, provider: EnrichmentProvider, step: "Step") -> Ticket | None:
        """Return a call's name where the provider may answer it later."""
        if not self.is_possible or not is_late(provider):
            return None
        return Ticket(provider.name, UUID(step.question.tenant), uuid4())

    def address_of(self, ticket: Ticket | None) -> str | None:
        """Return where the provider may call."""
        return ticket.address(self._settings) if ticket else None

    def settle(self, answer: Answer, ticket: Ticket | None) -> Answer:
        """Return an answer that promises nothing where the vendor was told no address: nobody could wait for it."""
        if ticket or answer.pending is None:
            return answer
        return replace(answer, pending=None)

    def wait(self, step: "Step", answer: Answer, ticket: Ticket | None) -> None:
        """Wait for what is pending of an answer to a call."""
        if ticket is None or answer.pending is None:
            return
        asked = step.question_asked
        keeps = (
            self._memory.seconds_to_keep(asked.wanted, is_miss=False),
            self._memory.seconds_to_keep(asked.wanted, is_miss=True),
        )
        wait = Wait(
            step.item_no,
            step.provider,
            str(ticket.request),
            answer.pending,
            step.question.identity,
            describe_question(asked, answer.findings, keeps),
            {name: found.as_json() for name, found in answer.findings.items()},
            self._settings.enrichment_late_seconds,
        )
        self._note(wait)
        self._memory.keep_wait(step.question, wait)

    def join(self, step: "Step") -> bool:
        """Let a lead wait for what is waited for already; False: nobody waits for its question."""
        wait = self._memory.recall_wait(step.question) if self.is_possible else None
        if wait is None:
            return False
        step.course.answer(step.provider, "pending", read_findings(wait.findings))
        self._note(
            Attempt(
                step.item_no,
                step.provider,
                "pending",
                datetime.now(UTC),
                is_cached=True,
                findings=dict(wait.findings) or None,
            )
        )
        self._note(wait.for_item(step.item_no))
        return True
