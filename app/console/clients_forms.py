"""How the operators' forms are read: with the API's models, so that a page and a program are told the same."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from flask import flash, redirect, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ValidationError

from app.clients.clients import LaneChange
from app.errors import InvalidInput, LanewayError, TooManyRequests
from app.http.problems import field_errors, note_failure

M = TypeVar("M", bound=BaseModel)
#: The labels of the forms, for what the models say of a field.
LABELS = {
    "email": "Person",
    "queue": "Queue",
    "keys": "Keys",
    "secret": "Key",
    "provider": "Provider",
    "spacing_ms": "Milliseconds between two calls",
    "per_30s": "Calls in 30 seconds",
    "daily_limit": "Calls a day",
    "reset_hour": "The day begins at",
    "extra_windows": "Further windows",
    "notes": "Notes",
    "name": "Name",
    "slug": "Short name",
    "weight": "Weight",
    "max_in_flight": "Chunks at once",
    "max_in_flight_per_job": "Chunks of one list at once",
    "key_policy": "Keys",
    "fallback_after_seconds": "Seconds without a worker",
    "enrichment_chain": "Look-ups",
    "enrichment_cheapest_first": "In which order",
    "scopes": "What it may do",
    "expires_at": "Last day",
    "expiresAt": "Last day",
    "url": "Address",
    "events": "Events",
    "description": "Note",
}


def read(model: type[M], values: dict[str, Any]) -> M:
    """Read values as a model. Raises `InvalidInput` in the words of the form, without what was sent."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        text = "; ".join(_in_words(e["field"], e["message"]) for e in field_errors(error))
        raise InvalidInput(f"{text}.") from None


def _in_words(place: str, message: str) -> str:
    """`keys.1.secret` is the second key."""
    parts = [part for part in place.split(".") if part]
    message = message.removesuffix(".")
    label = next((LABELS[part] for part in reversed(parts) if part in LABELS), "")
    nth = next((f" of key {int(part) + 1}" for part in parts if part.isdigit()), "")
    return f"{label}{nth}: {message[:1].lower()}{message[1:]}" if label else message


def fields(*names: str) -> dict[str, Any]:
    """Return these fields of the form that was sent."""
    return {name: request.form[name] for name in names if name in request.form}


def pasted_keys() -> list[str]:
    """Return the keys that were pasted, one a line or with commas, each once."""
    text = request.form.get("keys", "").replace(",", "\n")
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def done_or_said(act: Callable[[], str], target: str) -> ResponseReturnValue:
    """Carry an act out and go to `target`, where its words, or what was in the way, are shown.

    That there were too many is answered at once, with the time to wait.
    """
    try:
        flash(act(), "done")
    except TooManyRequests:
        raise
    except LanewayError as error:
        note_failure(error)
        flash(error.message, "bad")
    return redirect(target, code=303)


def warn(warnings: Iterable[str]) -> None:
    """Show on the next page what was done all the same and wants a look."""
    for warning in warnings:
        flash(warning, "warn")


def status_of(error: LanewayError) -> int:
    """Return the status of a form that is shown again with what is wrong; what is the installation's own fault is logged."""
    note_failure(error)
    return error.status


def lane_words(change: LaneChange | None) -> str:
    """Say what became of a client's lane."""
    if change is None or not change.is_change:
        return "Nothing had to change."
    return f"From now on work goes to {change.to_queue}; {change.work_words}."
