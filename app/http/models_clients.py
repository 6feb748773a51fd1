"""What the API takes about clients and their lanes. The pages' forms are read with the same models."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from app.clients.chain import read_chain
from app.http.model_bases import Input
from app.http.models_keys import Count, KeyIn, Notes, Optional

KeyPolicy = Literal["own", "platform", "own_then_platform"]
WorkerFormat = Literal["env", "procfile", "compose", "kubernetes"]
Email = Annotated[str, Field(min_length=3, max_length=320)]
QueueName = Annotated[str, Field(max_length=100)]
ProviderName = Annotated[str, Field(min_length=1, max_length=50)]


def _chain_of_a_form(value: object) -> object:
    """A form writes a chain as text: `apollo, hunter`; empty: none of its own."""
    return read_chain(value) or None if isinstance(value, str) else value


Chain = Annotated[
    Annotated[list[ProviderName], Field(min_length=1, max_length=20)] | None,
    BeforeValidator(_chain_of_a_form),
]


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
    enrichment_chain: Chain = Field(
        default=None,
        description="Providers that are asked about a lead, the first first, from the next job on; null: as the installation.",
    )
    enrichment_cheapest_first: bool = Field(
        default=False,
        description="Ask them in the order of what the look-up costs, where a job does not say.",
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
