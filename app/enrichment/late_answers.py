"""Brings later calls and what waits for them together, from either side: a call that came, or a wait that was recorded.

A call answers what it speaks of, as an attempt of its own, so the next lease of the chunk reads it like any other
answer. What comes when the lead is concluded changes no result; it is kept, shown, and remembered for the next time.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from app.enrichment.events import Call, State, bodies_of, is_flooded, keep_event, match_event
from app.enrichment.lookup import Answer
from app.enrichment.notes import Attempt, AttemptOutcome, Keep, write_notes
from app.enrichment.provider import Outcome
from app.enrichment.providers import LATE
from app.enrichment.waits import Wait, lock_requests, read_question
from app.provider_errors import ProviderError

_WAITS = text("""
    SELECT w.request, w.job_id, w.item_no, w.provider, w.name, w.identity, w.lookup, w.findings, w.state,
        w.over_at IS NOT NULL OR j.status IN ('completed', 'failed', 'cancelled', 'dead_letter')
            OR EXISTS (SELECT 1 FROM job_results r WHERE r.job_id = w.job_id AND r.item_no = w.item_no)
            OR EXISTS (SELECT 1 FROM lookup_finds f WHERE f.job_id = w.job_id AND f.item_no = w.item_no) AS is_over
    FROM lookup_waits w JOIN jobs j ON j.id = w.job_id
    WHERE w.request = :request AND (CAST(:job AS uuid) IS NULL OR w.job_id = :job AND w.item_no = ANY (:items))
    ORDER BY w.job_id, w.item_no FOR UPDATE OF w
""")
_ANSWER = text("""
    UPDATE lookup_waits SET state = :state, findings = CAST(:findings AS jsonb), lookup = CAST(:lookup AS jsonb),
        answered_at = CASE WHEN :is_answer THEN coalesce(answered_at, clock_timestamp()) ELSE answered_at END
    WHERE request = :request AND job_id = :job AND item_no = :item
""")


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a call says of one wait: its notes, and how the wait stands afterwards."""

    notes: tuple[Attempt | Keep, ...]
    state: str
    findings: Mapping[str, Any]
    #: Kinds that another call is to bring.
    wanted: Sequence[str]


def take_call(connection: Connection, call: Call) -> State:
    """Keep a call of the scope's tenant and answer what waits for it; return what it was."""
    if call.request is not None:
        lock_requests(connection, [str(call.request)])
        if is_flooded(connection, call.request):
            return "unknown"
    event_id = keep_event(connection, call)
    if event_id is None:
        return "duplicate"
    if call.request is None:
        return "unknown"
    waits = connection.execute(_WAITS, {"request": call.request, "job": None, "items": []}).all()
    return _apply(connection, event_id, call.body, waits)


def take_kept(connection: Connection, job_id: UUID, waits: Sequence[Wait]) -> None:
    """Answer waits that were recorded just now with what came before them, after `lock_requests`."""
    for request in {wait.request for wait in waits}:
        items = [wait.item_no for wait in waits if wait.request == request]
        for event_id, body in bodies_of(connection, UUID(request)):
            rows = connection.execute(_WAITS, {"request": request, "job": job_id, "items": items})
            _apply(connection, event_id, body, rows.all())


def _apply(connection: Connection, event_id: int, body: bytes, waits: Sequence[Row[Any]]) -> State:
    state: State = "unknown"
    for job_id in sorted({wait.job_id for wait in waits}):
        own = [wait for wait in waits if wait.job_id == job_id]
        told = _read(body, own)
        for wait, outcome in told:
            reading = _take(wait, outcome, body)
            write_notes(connection, job_id, reading.notes)
            _note_state(connection, wait, reading)
        if told:
            is_in_time = any(not w.is_over and w.state != "answered" for w, _ in told)
            state = "matched" if is_in_time or state == "matched" else "late"
            match_event(connection, event_id, state, job_id, [wait.item_no for wait, _ in told])
    return state


def _read(body: bytes, waits: Sequence[Row[Any]]) -> list[tuple[Row[Any], Outcome]]:
    """Return what a call says of each wait; of two leads that are one person to the vendor, both are told."""
    told: list[tuple[Row[Any], Outcome]] = []
    for group in _with_names_apart(waits):
        calls = LATE.get(group[0].provider)
        if calls is None:
            continue
        try:
            outcomes = calls.read(body, {w.name: read_question(w.lookup) for w in group})
        except ProviderError:
            continue  # It makes no sense, and answers nobody.
        told += [(wait, outcomes[wait.name]) for wait in group if wait.name in outcomes]
    return told


def _with_names_apart(waits: Iterable[Row[Any]]) -> list[list[Row[Any]]]:
    groups: list[list[Row[Any]]] = []
    for wait in waits:
        group = next((g for g in groups if all(o.name != wait.name for o in g)), None)
        if group is None:
            groups.append(group := [])
        group.append(wait)
    return groups


def _take(wait: Row[Any], outcome: Outcome, body: bytes) -> _Reading:
    now, wanted = datetime.now(UTC), wait.lookup["wanted"]
    if isinstance(outcome, ProviderError):
        attempt = Attempt(
            wait.item_no,
            wait.provider,
            "error",
            now,
            code=outcome.code,
            message=outcome.message,
            is_late=True,
        )
        # It said something once, but nothing that could be read: the lead goes on without it.
        left = "answered" if wait.state == "answered" else "late"
        return _Reading((attempt,), left, wait.findings, wanted)
    news = {name: found.as_json() for name, found in outcome.findings.items()}
    findings = {**wait.findings, **news}
    is_final = outcome.pending is None or wait.state == "answered"
    said: AttemptOutcome = "pending" if not is_final else "found" if findings else "miss"
    attempt = Attempt(
        wait.item_no,
        wait.provider,
        said,
        now,
        credits=outcome.credits,
        findings=news or None,
        is_late=True,
    )
    if not is_final:
        return _Reading((attempt,), wait.state, findings, _still_wanted(wait, body))
    return _Reading((attempt, *_keep(wait, findings, now)), "answered", findings, wanted)


def _still_wanted(wait: Row[Any], body: bytes) -> list[str]:
    """Return the kinds that a call leaves for another one, asked for each by itself: only its reader can tell."""
    question, read = read_question(wait.lookup), LATE[wait.provider].read
    left = []
    for kind in question.wanted:
        told = read(body, {wait.name: replace(question, wanted=frozenset((kind,)))})
        outcome = told.get(wait.name)
        if isinstance(outcome, Answer) and outcome.pending is not None:
            left.append(kind.value)
    return sorted(left) or wait.lookup["wanted"]


def _keep(wait: Row[Any], findings: dict[str, Any], now: datetime) -> list[Keep]:
    found_seconds, miss_seconds = wait.lookup["keeps"]
    seconds = found_seconds if findings else miss_seconds
    return [Keep(wait.provider, wait.identity, findings, now, seconds)] if seconds > 0 else []


def _note_state(connection: Connection, wait: Row[Any], reading: _Reading) -> None:
    connection.execute(
        _ANSWER,
        {
            "request": wait.request,
            "job": wait.job_id,
            "item": wait.item_no,
            "state": reading.state,
            "is_answer": reading.state == "answered",
            "findings": json.dumps(reading.findings),
            "lookup": json.dumps({**wait.lookup, "wanted": list(reading.wanted)}),
        },
    )
