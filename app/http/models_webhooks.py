"""What the API takes and sends about webhooks. The pages' forms are read with the same models.

A secret goes out with the answer to the call that made it, and never again.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from app.errors import InvalidInput
from app.http.model_bases import Input, Out
from app.http.models import Cursor
from app.settings import get_settings
from app.webhooks.addresses import AddressRule
from app.webhooks.endpoints import EventType
from app.webhooks.log import Delivery, DeliveryStatus, Detail

DeliveredType = Literal[EventType, "endpoint.test"]


def _empty_is_none(value: object) -> object:
    """A form's select without a choice sends an empty value."""
    return None if value == "" else value


def check_url(url: str) -> str:
    """Return an address that webhooks may be sent to. Raises `ValueError`, which says what to change."""
    try:
        return AddressRule.from_settings(get_settings()).check(url, "the address")
    except InvalidInput as error:
        raise ValueError(error.message) from error


def _check_events(events: list[EventType]) -> list[EventType]:
    # A person who has unticked every box reads this; the library's words are about lists.
    if not events:
        raise ValueError("choose at least one")
    return events


Url = Annotated[str, StringConstraints(max_length=2048), AfterValidator(check_url)]
Events = Annotated[
    list[EventType],
    Field(max_length=10, json_schema_extra={"minItems": 1}),
    AfterValidator(_check_events),
]
Description = Annotated[str, StringConstraints(max_length=200)]


class EndpointIn(Input):
    url: Url
    events: Events
    description: Description = ""


class EndpointChangeIn(Input):
    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    enabled: bool | None = None


class EndpointOut(Out):
    id: UUID
    url: str
    description: str
    events: list[EventType]
    of_jobs: bool = Field(
        description="The `webhook_url` of jobs, signed with the client's own secret."
    )
    is_enabled: bool
    disabled_at: datetime | None
    disabled_reason: Literal["person", "gone", "failing"] | None
    failing_since: datetime | None
    failures: int = Field(description="Failed attempts in a row.")
    not_before: datetime | None = Field(description="Nothing is sent before.")
    previous_until: datetime | None = Field(
        description="The secret before signs as well until then."
    )
    created_at: datetime
    created_by: str | None
    open: int = Field(description="Deliveries that are not over; 1,000 is that or more.")


class EndpointListOut(Out):
    endpoints: list[EndpointOut]


class EndpointSecretOut(EndpointOut):
    secret: str = Field(description="Shown this once.")


class TestOut(Out):
    message_id: str = Field(description="The `webhook-id` of the test.")


class ClientSecretOut(Out):
    created_at: datetime | None
    shown_at: datetime | None = Field(description="null: nobody has seen it yet.")
    previous_until: datetime | None


class NewClientSecretOut(ClientSecretOut):
    secret: str = Field(description="Shown this once.")


class DeliveryListIn(Input):
    cursor: Annotated[Cursor | None, BeforeValidator(_empty_is_none)] = None
    limit: int = Field(default=50, ge=1, le=200)
    endpoint: Annotated[UUID | None, BeforeValidator(_empty_is_none)] = None
    job: Annotated[UUID | None, BeforeValidator(_empty_is_none)] = None
    status: Annotated[DeliveryStatus | None, BeforeValidator(_empty_is_none)] = None
    event: Annotated[DeliveredType | None, BeforeValidator(_empty_is_none)] = None


class DeliveryOut(Out):
    id: int
    message_id: str = Field(description="The `webhook-id`: the same at each attempt.")
    type: DeliveredType
    job_id: UUID | None
    endpoint_id: UUID
    url: str
    status: DeliveryStatus
    attempts: int
    next_at: datetime | None
    answer_status: int | None
    error: str | None
    last_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryOut":
        """Return a delivery as it is sent."""
        return cls.model_validate(vars(delivery))


class DeliveryListOut(Out):
    deliveries: list[DeliveryOut]
    next_cursor: str | None


class AttemptOut(Out):
    number: int = Field(description="Counts on through replays.")
    replay: int = Field(description="0: of the first sending; 1: of its first replay, and so on.")
    at: datetime
    url: str
    headers: dict[str, str] = Field(description="As sent, without the signature.")
    answer_status: int | None
    answer: str | None = Field(description="The first bytes of the body.")
    ms: int
    error: str | None


class DeliveryDetailOut(DeliveryOut):
    body: dict[str, Any]
    log: list[AttemptOut] = Field(description="The newest first.")

    @classmethod
    def of_detail(cls, detail: Detail) -> "DeliveryDetailOut":
        """Return a delivery with its attempts as it is sent."""
        log = [vars(attempt) for attempt in detail.attempts]
        return cls.model_validate({**vars(detail.delivery), "body": detail.body, "log": log})
