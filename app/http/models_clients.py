"""What the API takes and sends about clients, their lanes and keys. The pages' forms are read with the same models.

A key's secret comes in and never goes out: every answer names a key by its last four characters.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from app.http.models import Input, Out
from app.http.models_operators import KeyOut

KeyPolicy = Literal["own", "platform", "own_then_platform"]
WorkerFormat = Literal["env", "procfile", "compose", "kubernetes"]
SHORTEST_SECRET, LONGEST_SECRET = 8, 512
_WINDOW = re.compile(r"(\d{1,9})\s*(?:/|in|per)\s*(\d{1,9})\s*s?")


def _empty_is_none(value: object) -> object:
    """A form sends an empty field as an empty text."""
    return None if isinstance(value, str) and not value.strip() else value


def _read_windows(value: object) -> object:
    """A form writes windows as text: `1000 in 3600, 50 in 60`."""
    if not isinstance(value, str):
        return value
    windows = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        found = _WINDOW.fullmatch(part)
        if found is None:
            raise ValueError("write windows as calls in seconds, with commas: 1000 in 3600")
        windows.append({"requests": int(found[1]), "seconds": int(found[2])})
    return windows


Optional = BeforeValidator(_empty_is_none)
Email = Annotated[str, Field(min_length=3, max_length=320)]
QueueName = Annotated[str, Field(max_length=100)]
Notes = Annotated[Annotated[str, Field(max_length=500)] | None, Optional]
Count = Annotated[Annotated[int, Field(ge=1, le=1_000_000_000)] | None, Optional]


def _check_secret(secret: SecretStr) -> SecretStr:
    if not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET:
        raise ValueError(f"A key has {SHORTEST_SECRET} to {LONGEST_SECRET} characters")
    return secret


Secret = Annotated[
    SecretStr,
    AfterValidator(_check_secret),
    WithJsonSchema(
        {
            "type": "string",
            "format": "password",
            "writeOnly": True,
            "minLength": SHORTEST_SECRET,
            "maxLength": LONGEST_SECRET,
        }
    ),
]


class WindowIn(Input):
    requests: int = Field(ge=1, le=1_000_000_000)
    seconds: int = Field(ge=1, le=86_400)


class KeyLimitsIn(Input):
    """A key's limits as its plan has them. null: no such limit."""

    spacing_ms: int = Field(default=250, ge=0, le=3_600_000, description="Between two calls.")
    per_30s: Count = 165
    daily_limit: Count = 500_000
    reset_hour: int = Field(default=0, ge=0, le=23, description="UTC; the day begins.")
    extra_windows: Annotated[list[WindowIn], BeforeValidator(_read_windows)] = Field(
        default_factory=list, max_length=8
    )
    notes: Notes = None


class KeyIn(KeyLimitsIn):
    secret: Secret = Field(description="Never sent back.")
    provider: Literal["mailtester"] = "mailtester"


class KeyChangeIn(KeyLimitsIn):
    """Only what is named is changed."""

    enabled: bool = True


class KeysIn(Input):
    keys: list[KeyIn] = Field(min_length=1, max_length=100)


class OnboardIn(Input):
    email: Email = Field(description="One of the client's people.")
    name: Annotated[Annotated[str, Field(max_length=200)] | None, Optional] = Field(
        default=None,
        description="Of a new client: it is made first, with the person, where the person is not there.",
    )
    slug: Annotated[Annotated[str, Field(max_length=63)] | None, Optional] = Field(
        default=None, description="The new client's; null: made of its name."
    )
    queue: Annotated[QueueName | None, Optional] = Field(
        default=None, description="null: `verification-queue:client-` and the client's slug."
    )
    keys: list[KeyIn] = Field(default_factory=list, max_length=100)
    notes: Notes = None

    @model_validator(mode="after")
    def _named(self) -> "OnboardIn":
        if self.slug and not self.name:
            raise ValueError("a new client needs a name beside its slug")
        return self


class ClientSettingsIn(Input):
    """A client's settings; only what is named is changed."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] = ""
    weight: int = Field(default=1, ge=1, le=100, description="Its part of the shared lane.")
    max_in_flight: Count = Field(default=None, description="Chunks at once; null: by fair parts.")
    max_in_flight_per_job: Count = Field(default=None, description="Chunks of one job at once.")
    key_policy: KeyPolicy = "own_then_platform"
    fallback_after_seconds: Annotated[
        Annotated[int, Field(ge=30, le=31_536_000)] | None, Optional
    ] = Field(
        default=None,
        description="Without a worker for so long, use the shared lane; null: never.",
    )


class ClientChangeIn(ClientSettingsIn):
    active: bool = Field(
        default=True,
        description="false: back to the shared lane; true: put its own in force again.",
    )
    queue: QueueName = Field(default="", description="Another lane of its own.")

    @model_validator(mode="after")
    def _one_lane(self) -> "ClientChangeIn":
        given = self.model_fields_set
        if not given:
            raise ValueError("name at least one setting to change")
        if {"active", "queue"} <= given and not self.active:
            raise ValueError('send either "queue" or "active": false, not both')
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that were named, without what concerns the lane."""
        return self.model_dump(exclude={"active", "queue"}, exclude_unset=True)


class ClientListIn(Input):
    cursor: Annotated[Annotated[str, Field(max_length=100)] | None, Optional] = None
    limit: int = Field(default=50, ge=1, le=500)


class ClientSearchIn(Input):
    q: Annotated[Annotated[str, Field(max_length=200)] | None, Optional] = Field(
        default=None, description="Any part of the slug, the name, a person's e-mail or a queue."
    )
    cursor: Annotated[Annotated[str, Field(max_length=100)] | None, Optional] = None
    limit: int | None = Field(default=None, ge=1, le=500, description="null: all of them.")


class WorkerIn(Input):
    format: WorkerFormat = "env"
    keys: Literal["environment", "database"] | None = Field(
        default=None, description="Where the worker finds the client's keys; null: as it is now."
    )


class ClientLaneOut(Out):
    configured: str | None = Field(description="null: the client has no row of its own.")
    active: bool = Field(description="Whether its own lane is switched on.")
    in_force: str = Field(description="Where its work goes now.")
    person: str | None = Field(description="Whose row it is.")
    workers: int = Field(description="Live workers on the configured lane.")
    changed_at: datetime | None
    unattended_since: datetime | None = Field(description="Work and no worker since.")
    fallback_since: datetime | None = Field(description="On the shared lane for want of a worker.")
    notes: str | None


class ClientWorkOut(Out):
    open_jobs: int
    ready: int
    released: int
    running: int
    rows_last_hour: int
    shared_rows_last_hour: int
    shared_part: float | None = Field(description="Of all rows on the shared lane, 0 to 1.")


class ClientSettingsOut(Out):
    weight: int
    max_in_flight: int | None
    max_in_flight_per_job: int | None
    key_policy: KeyPolicy
    fallback_after_seconds: int | None


class CapacityOut(Out):
    keys: int
    per_second: float | None = Field(description="null: not limited.")
    per_day: int | None = Field(description="null: not limited.")


class ClientOut(Out):
    id: UUID
    slug: str
    name: str
    created_at: datetime
    lane: ClientLaneOut
    work: ClientWorkOut
    settings: ClientSettingsOut
    keys: int = Field(description="Enabled keys of its own in the database.")

    @classmethod
    def of(cls, row: Any) -> "ClientOut":
        """Return a client as it is sent."""
        facts = _facts(row)
        return cls(
            **{name: facts[name] for name in ("id", "slug", "name", "created_at", "keys")},
            lane=ClientLaneOut(
                configured=row.configured_queue,
                active=row.is_dedicated,
                in_force=row.queue,
                person=row.user_email,
                **_only(ClientLaneOut, facts),
            ),
            work=ClientWorkOut(**_only(ClientWorkOut, facts)),
            settings=ClientSettingsOut(**_only(ClientSettingsOut, facts)),
        )


def _facts(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def _only(model: type[Out], facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in model.model_fields if name in facts}


class ClientListOut(Out):
    clients: list[ClientOut]
    next_cursor: str | None


class LaneChangeOut(Out):
    from_queue: str
    to_queue: str
    chunks_moved: int = Field(description="Chunks that waited and go to the new lane.")


class ClientDetailOut(Out):
    client: ClientOut
    keys: list[KeyOut] = Field(description="Its own, stored and in the environment of its workers.")
    capacity: CapacityOut = Field(description="Of the keys that serve it.")
    platform_keys: bool = Field(description="Whether the platform's keys serve it.")


class ClientChangedOut(ClientDetailOut):
    change: LaneChangeOut | None = Field(description="null: the lane is what it was.")


class OnboardedOut(ClientChangedOut):
    key_ids: list[UUID]
    password: str | None = Field(description="Of a person who was made just now; told this once.")


class KeysAddedOut(Out):
    key_ids: list[UUID]


class KeyTestOut(Out):
    ok: bool
    detail: str
    ms: int | None


class WorkerOut(Out):
    format: WorkerFormat
    text: str


class MessageOut(Out):
    text: str
    warning: str | None = Field(description="Why it is not true yet; null: it is.")


class AuditEventOut(Out):
    id: int
    at: datetime
    actor: str
    action: str
    tenant_id: UUID | None
    tenant_slug: str | None
    from_queue: str | None
    to_queue: str | None
    chunks_moved: int | None
    details: dict[str, Any]


class AuditListOut(Out):
    events: list[AuditEventOut]
    next_cursor: str | None
