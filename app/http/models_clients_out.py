"""What the API sends about clients, their lanes and what was changed of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from app.http.model_bases import Out
from app.http.models_clients import KeyPolicy, WorkerFormat
from app.http.models_operators import HoldOut, KeyOut


class ClientLaneOut(Out):
    configured: str | None = Field(description="null: the client has no row of its own.")
    active: bool = Field(description="Whether its own lane is switched on.")
    in_force: str = Field(description="Where its work goes now.")
    person: str | None = Field(description="Whose row it is.")
    workers: int = Field(description="Live workers on the configured lane.")
    changed_at: datetime | None
    unattended_since: datetime | None = Field(description="Work and no worker since.")
    fallback_since: datetime | None = Field(description="On the shared lane for want of a worker.")
    hold: HoldOut | None = Field(description="Why nothing of it is released; null: it isn't held.")
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
    enrichment_chain: list[str] | None = Field(description="null: as the installation.")
    enrichment_cheapest_first: bool = Field(description="Where a job does not say.")


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
    chunks_running: int = Field(description="Chunks that run and finish where they are.")


class ClientDetailOut(Out):
    client: ClientOut
    keys: list[KeyOut] = Field(description="Its own, stored and in the environment of its workers.")
    capacity: CapacityOut = Field(description="Of the keys that serve it.")
    platform_keys: bool = Field(description="Whether the platform's keys serve it.")


class ClientChangedOut(ClientDetailOut):
    change: LaneChangeOut | None = Field(description="null: the lane is what it was.")
    warnings: list[str] = Field(description="What was done all the same and wants a look.")


class OnboardedOut(ClientChangedOut):
    key_ids: list[UUID]
    password: str | None = Field(description="Of a person who was made just now; told this once.")


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
