"""What the API sends of calls from outside, and takes when they are listed."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from app.http.model_bases import Input, Out
from app.http.models import Cursor

EventState = Literal["matched", "late", "unknown", "duplicate"]


class EventListIn(Input):
    cursor: Cursor | None = None
    limit: int = Field(default=50, ge=1, le=200)
    state: EventState | None = None
    job_id: UUID | None = None


class WebhookEventOut(Out):
    id: int
    provider: str | None = Field(description="None: an event of the generic form.")
    event: str | None
    state: EventState = Field(
        description="`matched`: it answered what was waited for. `late`: the lead was concluded. "
        "`unknown`: nothing waits for it, or not yet. `duplicate`: it came before."
    )
    job_id: UUID | None
    items: list[int] = Field(validation_alias="item_nos", description="Rows of the job.")
    received_at: datetime


class WebhookEventListOut(Out):
    events: list[WebhookEventOut]
    next_cursor: str | None


class ReceivedOut(Out):
    state: EventState
