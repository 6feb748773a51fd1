"""What the API sends to operators of the installation."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from app.http.model_bases import Out


class AdviceOut(Out):
    workers: int = Field(description="What an autoscaler would set; 0 while nothing is open.")
    workers_fed: int | None = Field(description="The most workers that the keys keep busy.")
    slots_fed: int | None = Field(description="The same in slots.")
    call_seconds: float = Field(description="What a call takes; `is_measured`: by this lane.")
    is_measured: bool
    is_surplus: bool = Field(description="More slots than the keys can feed, by whole workers.")
    is_bound_by_keys: bool = Field(
        description="The keys can't drain the backlog within the target."
    )
    text: str | None


class HoldOut(Out):
    """Why nothing of a client is released at present."""

    reason: str
    since: datetime
    until: datetime = Field(description="When it goes on by itself.")
    text: str
    remedy: str = Field(description="What ends it sooner.")


class HeldClientOut(Out):
    slug: str
    hold: HoldOut


class LaneOut(Out):
    queue: str
    kind: str
    tenants: list[str]
    dedicated: bool
    messages: int | None
    ready: int
    deferred: int
    released: int
    running: int
    rows_left: int | None = Field(description="Rows without an answer; null: not known yet.")
    oldest_seconds: float | None
    drain_seconds: float | None = Field(
        description="Until the lane is empty: as it goes, else with its keys' rate."
    )
    workers: int
    slots: int
    rate_per_second: float | None
    keys: int
    keys_per_second: float | None
    held_until: datetime | None
    held_reason: str | None
    unattended_since: datetime | None = Field(description="Work, and no live worker, since then.")
    unattended_seconds: float | None
    fallback_since: datetime | None
    fallback_tenants: list[str] = Field(description="Clients that use the shared lane meanwhile.")
    held_tenants: int = Field(
        description="Clients on it that are held, but for the moments between two calls."
    )
    holds: list[HeldClientOut] = Field(description="The first 20 of them to go on.")
    advice: AdviceOut


class SharedPartOut(Out):
    tenant: str
    rows: int
    part: float = Field(description="0 to 1, of all rows of the shared lane.")


class LaneListOut(Out):
    lanes: list[LaneOut]
    shared_last_hour: list[SharedPartOut] = Field(description="The 100 largest parts.")
    shared_clients: int = Field(description="How many clients had rows on it.")


class KeyOut(Out):
    id: UUID | None = Field(description="null: a key of a worker's environment.")
    tenant: str | None = Field(description="null: a key of the platform.")
    provider: str
    hint: str
    spacing_ms: int
    requests_per_window: int | None
    window_seconds: int
    daily_limit: int | None
    enabled: bool
    used_today: int = Field(description="Calls made since the key's day began.")
    reserved_today: int | None = Field(
        description="Calls reserved since then: what the daily limit counts; null: not known."
    )
    health: Literal["closed", "open", "half_open", "unknown", "unusable"] = Field(
        description="unusable: its limits can't be, or its secret can't be read, so workers pass it over; `why` says it."
    )
    since: datetime | None
    why: str | None
    next_free_at: datetime | None
    throttled_count: int
    spacing_multiplier: float = Field(
        description="By how much its spacing is widened after answers 429."
    )
    source: Literal["database", "environment"] = Field(
        description="environment: carried by a live worker, and then in force for its client."
    )
    notes: str | None
    extra_windows: list[dict[str, int]] = Field(description="requests in seconds.")
    reset_hour: int = Field(description="UTC; the day begins.")
    in_force: bool = Field(description="Whether a worker that serves the client now would use it.")


class KeyChangedOut(KeyOut):
    warnings: list[str] = Field(
        description="Who else has the key that was switched on; what its client does without the one switched off."
    )


class KeyListOut(Out):
    keys: list[KeyOut]
