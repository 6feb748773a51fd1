"""What is sent and taken about a job's course: the stream, the timeline, what was asked about one row."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from app.http.model_bases import Input, Out
from app.http.models import JobState, ResultOut, _empty_is_none
from app.http.models_webhook_events import EventState


class EventsIn(Input):
    last_event_id: Annotated[
        Annotated[str, StringConstraints(max_length=32)] | None, BeforeValidator(_empty_is_none)
    ] = Field(default=None, description="For callers that can't send the header `Last-Event-ID`.")


class TurnOut(Out):
    at: datetime
    what: Literal["created", "started", "retried", "ended"]
    status: JobState = Field(description="Of the job from then on.")
    failed: int = Field(description="Rows without a verdict at that moment.")


class ChunkOut(Out):
    kind: str
    first_item: int
    last_item: int
    status: Literal["ready", "released", "running", "done", "dead", "cancelled"]
    run_at: datetime = Field(description="Not before this moment.")
    started_at: datetime | None
    finished_at: datetime | None
    done: int
    failed: int
    attempts: int = Field(description="Workers in a row that ended without a word.")
    waits_for: str | None = Field(description="Why it is put off to `run_at`.")
    error: str | None


class CallOut(Out):
    """A call from outside about the job: of a provider whose answer came later, or an event that somebody told."""

    id: int = Field(description="As in the list of `/api/enrichment/webhook/events`.")
    at: datetime
    provider: str | None = Field(description="null: an event of the generic form.")
    event: str | None
    state: EventState = Field(
        description="What it came to. `matched`: an answer that was waited for, or an event that is kept. `late`: the lead was "
        "concluded, nothing changed. `unknown`: nothing waited for it. `duplicate`: it came before."
    )
    items: list[int] = Field(description="Rows of the job that it was about.")
    lines: list[int] = Field(description="The lines of the list that these rows stand in.")


class TimelineOut(Out):
    turns: list[TurnOut]
    calls: list[CallOut] = Field(description="The last 50, in the order in which they came.")
    chunks: list[ChunkOut]
    by_status: dict[str, int] = Field(description="All chunks, by their status.")


class AttemptOut(Out):
    at: datetime
    provider: str
    outcome: Literal["found", "miss", "pending", "refused", "error", "skipped"]
    code: str | None = Field(
        description="Of a `pending` one that led to a further call: `next:` and the provider's step."
    )
    message: str | None
    cached: bool = Field(description="The answer was remembered.")
    callback: bool = Field(
        description="The provider told it later, in a call of its own; the question is the `pending` one before."
    )
    ms: int | None = Field(description="None: nobody was called.")
    credits: float | None


class PendingOut(Out):
    attempts: int
    not_before: datetime
    reason: str


class ItemCourseOut(Out):
    result: ResultOut
    attempts: list[AttemptOut]
    pending: PendingOut | None = Field(description="The row is tried again.")
