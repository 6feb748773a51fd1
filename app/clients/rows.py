"""What is told of clients: one as it stands, a change of its lane, one thing that somebody changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.clients.setting_rules import KeyPolicy
from app.jobs.holds import Hold
from routing.queues import VERIFICATION


@dataclass(frozen=True)
class ClientRow:
    """A client, as `clients_overview` tells it.

    `configured_queue` and `is_active` are its row in `worker_configs` (the one in force, else the newest); `queue` is the lane
    in force, which is the shared one while `fallback_since` is set. `rows_last_hour` counts all lanes, `shared_part` is the
    client's part (0 to 1) of what the shared lane did in the last hour, None when that was nothing. `hold` is why nothing of it
    is released at present, None: it isn't held. `enrichment_chain` are the providers that its leads are looked up with, None:
    those of the installation.
    """

    id: UUID
    slug: str
    name: str
    weight: int
    max_in_flight: int | None
    max_in_flight_per_job: int | None
    key_policy: KeyPolicy
    fallback_after_seconds: int | None
    created_at: datetime
    config_id: UUID | None
    user_id: UUID | None
    user_email: str | None
    worker_mode: str | None
    configured_queue: str | None
    is_active: bool | None
    api_key_hint: str | None
    notes: str | None
    queue: str
    changed_at: datetime | None
    fallback_since: datetime | None
    unattended_since: datetime | None
    #: Live workers on the configured queue (on the shared one where none is configured).
    workers: int
    ready: int
    released: int
    running: int
    open_jobs: int
    #: Enabled stored keys of its own.
    keys: int
    rows_last_hour: int
    shared_rows_last_hour: int
    shared_part: float | None
    hold: Hold | None = None
    enrichment_chain: tuple[str, ...] | None = None
    enrichment_cheapest_first: bool = False

    @property
    def is_dedicated(self) -> bool:
        """Whether it has a lane of its own, also while its work falls back to the shared one."""
        return bool(self.is_active) and self.configured_queue != VERIFICATION

    @property
    def has_lane(self) -> bool:
        """Whether there is a lane of its own, in use or not, that a worker could be started for (`worker_files`)."""
        return self.worker_mode == "dedicated" and self.configured_queue is not None


@dataclass(frozen=True)
class LaneChange:
    """A change of lanes; both queues are the same where nothing moved. `chunks_moved` waited and go to the new lane;
    `chunks_running` run and finish where they are.
    """

    from_queue: str
    to_queue: str
    chunks_moved: int
    chunks_running: int = 0

    @property
    def work_words(self) -> str:
        """What becomes of the client's work."""
        moved, running = self.chunks_moved, self.chunks_running
        waited = f"{moved:,} waiting {_chunks(moved)} moved" if moved else "nothing waited"
        if not running:
            return f"{waited}, nothing runs"
        there = "finishes where it is" if running == 1 else "finish where they are"
        return f"{waited}, {running:,} running {_chunks(running)} {there}"

    @property
    def is_change(self) -> bool:
        """Whether the lane in force is another one now."""
        return self.from_queue != self.to_queue


def _chunks(count: int) -> str:
    return "chunk" if count == 1 else "chunks"


@dataclass(frozen=True)
class AuditRow:
    """One thing that somebody changed."""

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
