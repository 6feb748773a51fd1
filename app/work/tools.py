"""What a chunk is run with, whatever its kind: handed in, so that rules know neither Celery nor a global."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

from app.provider_errors import ProviderError
from app.settings import Settings
from routing.key_pool import KeyPool

T = TypeVar("T")
#: Gives the pool of keys that serves a client, with one provider.
PoolFor = Callable[[UUID], Awaitable[KeyPool]]


class InThread(Protocol):
    """Runs a blocking call outside the loop."""

    def __call__(self, call: Callable[[], T], /) -> Awaitable[T]: ...


def ignore_answer(_tenant: UUID, _provider: str, _ms: float, _error: ProviderError | None) -> None:
    """Count nothing."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """Collaborators of a chunk's run. `drain_by` answers the monotonic time by which the process must have let go, or None."""

    settings: Settings
    worker_id: UUID
    in_thread: InThread
    drain_by: Callable[[], float | None]
    on_recorded: Callable[[int], Any]
    on_call: Callable[[str], Any]
    #: Told how each call went: the client, the provider, milliseconds, and the error, if there was one.
    on_answer: Callable[[UUID, str, float, ProviderError | None], Any] = ignore_answer
