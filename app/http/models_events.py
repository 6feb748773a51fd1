"""What is sent and taken about a job's course: the stream, the timeline, what was asked about one row."""

from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints

from app.http.model_bases import Input
from app.http.models import _empty_is_none


class EventsIn(Input):
    last_event_id: Annotated[
        Annotated[str, StringConstraints(max_length=32)] | None, BeforeValidator(_empty_is_none)
    ] = Field(default=None, description="For callers that can't send the header `Last-Event-ID`.")
