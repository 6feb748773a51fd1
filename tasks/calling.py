"""What all provider calls of a worker process share: one HTTP session, the limits, and the counts of calls.

Made once per process, on the runtime's loop, after the fork. Counts move to PostgreSQL at most a second late; pools of keys
that nobody uses any more are dropped.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Self
from uuid import UUID

import aiohttp
import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.scope import system_scope
from app.departures import NotingRequest
from app.provider_errors import ProviderError
from app.settings import Settings, get_settings
from app.work.call_figures import CallFigures, Figures, write_figures
from app.work.key_forms import ENVIRONMENT_PROVIDER
from app.work.key_registry import KeyRegistry
from app.work.key_usage import CallCounter, KeyUsage
from app.work.tools import Tools
from routing.rate_limits.limiter import AsyncLimiter
from tasks.once import once
from tasks.presence import WORKER_ID
from tasks.runtime import Runtime, driven_until, runtime
from tasks.worker_mode import environment_keys

log = structlog.get_logger(__name__)
#: Calls are counted in PostgreSQL at most this late.
COUNT_SECONDS = 1.0
#: How calls went is told this often.
FIGURES_SECONDS = 5.0
#: Pools that nobody uses are looked for this often.
SWEEP_SECONDS = 60.0


#: So long before the time of driven work is over a chunk is asked to finish its calls.
LET_GO_SECONDS = 2.0


def letting_go(runtime: Runtime) -> Callable[[], float | None]:
    """Return what tells a chunk by when it must have let go (monotonic; None: not yet).

    To be called in the thread that waits for the run: of work that is driven, that thread knows the time.
    """
    until = driven_until.get()

    def drain_by() -> float | None:
        if until is not None and time.monotonic() > until - LET_GO_SECONDS:
            return until
        return runtime.drain_by

    return drain_by


class Calling:
    """The process's session, limiter, counts of calls, and registries of keys."""

    def __init__(
        self, settings: Settings, runtime: Runtime, session: aiohttp.ClientSession
    ) -> None:
        self.settings = settings
        self.session = session
        self._runtime = runtime
        self._usage = KeyUsage()
        self._counter = CallCounter()
        self._figures = CallFigures()
        self._limiter = AsyncLimiter.connect(settings.limits_url, KeyRegistry.policy(settings))
        self._registries: dict[str, KeyRegistry] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def build(cls, settings: Settings, runtime: Runtime) -> Self:
        """Make it on the running loop."""
        # Limits, not the number of connections, decide how many calls are under way.
        connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=30)
        session = aiohttp.ClientSession(connector=connector, request_class=NotingRequest)
        calling = cls(settings, runtime, session)
        calling._tasks = [
            asyncio.create_task(calling._count()),
            asyncio.create_task(calling._tell()),
            asyncio.create_task(calling._sweep()),
        ]
        return calling

    def keys_of(self, provider: str) -> KeyRegistry:
        """Return the registry of one provider's keys; edits reach it, and what it does not need any more is dropped.

        There is one a provider, whatever kinds of work ask it: their calls wait in one line for a key, and whichever asks
        first, the keys that the process carries in its environment are among them.
        """
        if (known := self._registries.get(provider)) is not None:
            return known
        keys = KeyRegistry(
            provider,
            self._limiter,
            self._usage,
            self._runtime.in_thread,
            environment=environment_keys(self.settings) if provider == ENVIRONMENT_PROVIDER else (),
            owners=self._runtime.owners,
        )
        self._runtime.on_keys_changed(keys.invalidate)
        self._registries[provider] = keys
        return keys

    def tools_for(self, on_recorded: Callable[[int], Any]) -> Tools:
        """Return what any chunk is run with; its run tells `on_recorded` how many rows it recorded.

        To be called in the thread that waits for the run.
        """
        return Tools(
            settings=self.settings,
            worker_id=WORKER_ID,
            in_thread=self._runtime.in_thread,
            drain_by=letting_go(self._runtime),
            on_recorded=on_recorded,
            on_call=self._counter.count,
            on_answer=self._answered,
        )

    def _answered(
        self, tenant_id: UUID, provider: str, ms: float, error: ProviderError | None
    ) -> None:
        self._figures.add(tenant_id, provider, ms, is_error=error is not None)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                dropped = sum([await keys.drop_unused() for keys in self._registries.values()])
                if dropped:
                    log.info("key_pools_dropped", pools=dropped)
            except Exception:
                log.exception("key_pools_not_dropped")

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(FIGURES_SECONDS)
            figures = self._figures.take()
            if not figures:
                continue
            try:
                await self._runtime.in_thread(lambda figures=figures: _write(figures))  # type: ignore[misc]
            except SQLAlchemyError as error:
                self._figures.give_back(figures)
                log.warning("figures_not_written", error=type(error).__name__)

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            calls = self._counter.take()
            if not calls:
                continue
            try:
                await self._runtime.in_thread(lambda calls=calls: self._usage.add(calls))  # type: ignore[misc]
            except SQLAlchemyError as error:
                self._counter.give_back(calls)
                log.warning("calls_not_counted", error=type(error).__name__)


def _write(figures: dict[tuple[UUID, str], Figures]) -> None:
    with system_scope() as connection:
        write_figures(connection, figures)


@once
def process_calling() -> Calling:
    """Return this process's own; not to be asked for on its loop."""
    return runtime.run(Calling.build(get_settings(), runtime))
