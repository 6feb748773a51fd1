"""What the API sends to operators of the installation."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from app.http.models import Out


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
    oldest_seconds: float | None
    workers: int
    slots: int
    rate_per_second: float | None
    keys: int
    keys_per_second: float | None
    held_until: datetime | None
    held_reason: str | None


class LaneListOut(Out):
    lanes: list[LaneOut]


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
    used_today: int
    health: Literal["closed", "open", "half_open", "unknown"]
    since: datetime | None
    why: str | None
    next_free_at: datetime | None
    throttled_count: int
    source: Literal["database", "environment"] = Field(
        description="environment: carried by a live worker, and then in force for its client."
    )
    notes: str | None
    extra_windows: list[dict[str, int]] = Field(description="requests in seconds.")
    reset_hour: int = Field(description="UTC; the day begins.")
    in_force: bool = Field(description="Whether a worker that serves the client now would use it.")


class KeyListOut(Out):
    keys: list[KeyOut]
