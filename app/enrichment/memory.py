"""What providers said lately: the process's memory in front of the table, and the questions that are being asked now.

An answer is known by client, provider and the question's identity, and is never another client's, unless the installation
says so (`shares`, docs/adr/0018). It is kept for the
shortest time that any of the wanted kinds is kept for; a miss for a shorter one. A question that is being asked by one
item of this process is waited for by the others.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from app.enrichment.course import read_findings
from app.enrichment.lookup import Finding, Kind
from app.enrichment.waits import Wait, same_questions

#: Answers that a process remembers: some 2 KB each.
MOST_KEPT = 20_000
_READ = text("""
    SELECT c.provider, c.identity, c.findings, c.code, c.message, c.found_at, extract(epoch FROM c.expires_at - clock_timestamp()) AS left
    FROM lookup_cache c JOIN unnest(CAST(:providers AS text[]), CAST(:identities AS text[])) AS q(provider, identity)
        ON c.identity = q.identity AND c.provider = q.provider
    WHERE c.tenant_id = laneway_tenant() AND c.expires_at > clock_timestamp()
""")
_READ_SHARED = text("""
    SELECT provider, identity, findings, NULL AS code, NULL AS message, found_at, left_seconds AS left
    FROM recall_shared(CAST(:providers AS text[]), CAST(:identities AS text[]))
""")


class Question(NamedTuple):
    """What an answer is remembered by. All texts, whose hashes are kept: it is looked for a dozen times a lead."""

    tenant: str
    provider: str
    identity: str


@dataclass(slots=True)
class Remembered:
    """An answer that was had before; no findings: a miss. `code` and `note` are what the provider said beside."""

    findings: Mapping[str, Finding]
    found_at: datetime
    seconds_left: float
    code: str | None = None
    note: str | None = None


class Memory:
    """The process's memory of answers; used on its loop. `days` by kind, and for a `miss`; 0: not kept.

    `shares`: what one client's question brought may answer another's (ENRICHMENT_SHARED_ANSWERS).
    """

    def __init__(
        self,
        days: Mapping[str, float],
        clock: Callable[[], float] = time.monotonic,
        *,
        shares: bool = False,
    ) -> None:
        self.shares = shares
        self._days = days
        #: What follows of it: a job asks for the same of all its leads.
        self._seconds: dict[tuple[frozenset[Kind], bool], float] = {}
        self._clock = clock
        self._kept: OrderedDict[Question, tuple[float, Remembered]] = OrderedDict()
        #: What ends the asking, made when somebody waits for it.
        self._flights: dict[Question, asyncio.Event | None] = {}
        #: Questions whose answer comes later, until when it is waited for.
        self._waits: OrderedDict[Question, tuple[float, Wait]] = OrderedDict()

    def seconds_to_keep(self, wanted: Iterable[Kind], *, is_miss: bool) -> float:
        """Return how long an answer to a question about these kinds is good for."""
        kinds = frozenset(wanted)
        seconds = self._seconds.get((kinds, is_miss))
        if seconds is None:
            days = min(self._days.get(kind.value, 0.0) for kind in kinds)
            days = min(days, self._days.get("miss", 0.0)) if is_miss else days
            seconds = self._seconds[kinds, is_miss] = 86_400 * days
        return seconds

    def recall(self, question: Question) -> Remembered | None:
        """Return what is remembered of a question, None for nothing."""
        kept = self._kept.get(question)
        if kept is None:
            return None
        until, remembered = kept
        if until <= self._clock():
            del self._kept[question]
            return None
        self._kept.move_to_end(question)
        return remembered

    def keep(self, question: Question, remembered: Remembered) -> None:
        """Remember an answer for as long as it is good for."""
        if remembered.seconds_left <= 0:
            return
        self._kept[question] = (self._clock() + remembered.seconds_left, remembered)
        self._kept.move_to_end(question)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def recall_wait(self, question: Question) -> Wait | None:
        """Return the wait for a question's answer, with the seconds that are left of it; None: nobody waits."""
        kept = self._waits.get(question)
        if kept is None:
            return None
        until, wait = kept
        left = until - self._clock()
        if left <= 0:
            del self._waits[question]
            return None
        return replace(wait, seconds=left)

    def keep_wait(self, question: Question, wait: Wait) -> None:
        """Remember that a question's answer is waited for."""
        self._waits[question] = (self._clock() + wait.seconds, wait)
        self._waits.move_to_end(question)
        if len(self._waits) > MOST_KEPT:
            self._waits.popitem(last=False)

    def flight(self, question: Question) -> asyncio.Event | None:
        """Return the event that ends the asking of this question; None when nobody is at it."""
        if question not in self._flights:
            return None
        flight = self._flights[question]
        if flight is None:
            flight = self._flights[question] = asyncio.Event()
        return flight

    def take_off(self, questions: Iterable[Question]) -> None:
        """Say that these are being asked now; `land` must follow."""
        for question in questions:
            self._flights[question] = None

    def land(self, questions: Iterable[Question]) -> None:
        """Say that these are answered, or not asked any more."""
        for question in questions:
            if (flight := self._flights.pop(question, None)) is not None:
                flight.set()


def read_kept(
    connection: Connection, tenant_id: UUID, questions: Iterable[Question], *, shares: bool = False
) -> dict[Question, Remembered]:
    """Return what the table remembers of these questions of the scope's tenant; with `shares`, of others' as well."""
    asked = list(questions)
    kept = _read_kept(connection, _READ, tenant_id, asked)
    if shares and (unknown := [question for question in asked if question not in kept]):
        kept |= _read_kept(connection, _READ_SHARED, tenant_id, unknown)
    return kept


def _read_kept(
    connection: Connection, statement: TextClause, tenant_id: UUID, asked: Sequence[Question]
) -> dict[Question, Remembered]:
    values = {"providers": [q.provider for q in asked], "identities": [q.identity for q in asked]}
    return {
        Question(str(tenant_id), row.provider, row.identity): Remembered(
            read_findings(row.findings), row.found_at, float(row.left), row.code, row.message
        )
        for row in connection.execute(statement, values)
    }


def read_waits(
    connection: Connection, tenant_id: UUID, questions: Iterable[Question]
) -> dict[Question, Wait]:
    """Return which of these questions of the scope's tenant are waited for already."""
    asked = [(question.provider, question.identity) for question in questions]
    return {
        Question(str(tenant_id), provider, identity): wait
        for (provider, identity), wait in same_questions(connection, asked).items()
    }
