"""What a run of deliveries is given: handed in, so that rules know neither Celery nor a global."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

import aiohttp

from app.settings import Settings
from app.webhooks.addresses import AddressRule

T = TypeVar("T")


class InThread(Protocol):
    """Runs a blocking call outside the loop."""

    def __call__(self, call: Callable[[], T], /) -> Awaitable[T]: ...


@dataclass(frozen=True)
class Tools:
    """Collaborators of a run. `drain_by` answers the monotonic time by which the process must have let go, or None."""

    settings: Settings
    worker_id: UUID
    session: aiohttp.ClientSession
    rule: AddressRule
    in_thread: InThread
    drain_by: Callable[[], float | None]
