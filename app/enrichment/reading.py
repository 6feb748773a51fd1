"""Takes what became of a question into the lead's course, the process's memory, and the notes of the chunk."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.enrichment.lookup import Answer
from app.enrichment.memory import Memory, Remembered
from app.enrichment.notes import NEXT, Attempt, AttemptOutcome, Note
from app.provider_errors import ProviderError, Rejected, policy_of

if TYPE_CHECKING:
    from app.enrichment.guide import Step

Noting = Callable[[Note], None]


def read_answer(step: "Step", answer: Answer, ms: int, memory: Memory, note: Noting) -> None:
    """Take in what a provider said; what is final is remembered."""
    if answer.next_step is not None:
        return _read_step(step, answer, ms, note)
    outcome: AttemptOutcome = "pending" if answer.pending else "miss" if answer.is_miss else "found"
    now = datetime.now(UTC)
    findings = {name: found.as_json() for name, found in answer.findings.items()}
    step.course.answer(step.provider, outcome, answer.findings, answer.note)
    seconds = memory.seconds_to_keep(step.question_asked.wanted, is_miss=answer.is_miss)
    is_kept = outcome != "pending" and seconds > 0
    if is_kept:
        memory.keep(
            step.question, Remembered(answer.findings, now, seconds, answer.code, answer.note)
        )
    note(
        Attempt(
            step.item_no,
            step.provider,
            outcome,
            now,
            code=answer.code,
            message=answer.note,
            ms=ms,
            credits=answer.credits,
            findings=findings or None,
            identity=step.question.identity if is_kept else None,
            keep_seconds=seconds if is_kept else None,
            is_shared=is_kept and memory.shares,
        )
    )
    return None


def _read_step(step: "Step", answer: Answer, ms: int, note: Noting) -> None:
    """Take in that a call brought the provider one step further."""
    step.course.steps[step.provider] = str(answer.next_step)
    note(
        Attempt(
            step.item_no,
            step.provider,
            "pending",
            datetime.now(UTC),
            code=f"{NEXT}{answer.next_step}",
            message=answer.note,
            ms=ms,
            credits=answer.credits,
        )
    )


def read_remembered(step: "Step", remembered: Remembered, note: Noting) -> None:
    """Take in an answer that was had before. Of a miss is told why it is one, else from when."""
    outcome: AttemptOutcome = "found" if remembered.findings else "miss"
    why = remembered.note
    if outcome == "miss" and why is None:
        at = remembered.found_at.astimezone(UTC)
        why = f"Remembered from {at:%Y-%m-%d %H:%M} UTC."
    step.course.answer(step.provider, outcome, remembered.findings, why)
    note(
        Attempt(
            step.item_no,
            step.provider,
            outcome,
            datetime.now(UTC),
            code=remembered.code,
            message=why,
            is_cached=True,
            findings={n: f.as_json() for n, f in remembered.findings.items()} or None,
        )
    )


def read_error(
    step: "Step", error: ProviderError, ms: int, note: Noting, *, is_shared: bool = False
) -> None:
    """Take in that there was no answer: final for this lead, to be tried again, or (a limit, a key) as if not asked.

    `is_shared`: it is the error of a call about several leads, so it says nothing of this one.
    """
    is_refused = isinstance(error, Rejected) and not is_shared
    if is_refused:
        step.course.answer(step.provider, "refused", {})
    elif policy_of(error).counts_attempt and not is_shared:
        step.course.failures[step.provider] = error
    note(
        Attempt(
            step.item_no,
            step.provider,
            "refused" if is_refused else "error",
            datetime.now(UTC),
            code=error.code,
            message=error.message,
            ms=ms,
            credits=error.credits,
        )
    )
