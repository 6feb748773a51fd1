"""One asyncio loop and one HTTP session per worker process, for chunks that wait on the network.

Celery's threads pool gives each chunk a thread; the thread hands a coroutine to the loop and waits. So one process
holds hundreds of slow, rate-limited chunks, and limits, health and connections are shared by all of them. The loop
is made on first use, after any fork.
"""

import asyncio
import concurrent.futures
import multiprocessing
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar
from uuid import UUID

import structlog

from app import collector
from app.settings import get_settings
from tasks.lane_usage import LaneUsage

log = structlog.get_logger(__name__)
T = TypeVar("T")
#: Window of the rate that the presence row tells.
RATE_SECONDS = 10.0
#: Threads for database calls of coroutines.
DATABASE_THREADS = 8
#: In a thread that drives work for a limited time: the monotonic moment by which its chunk must have let go.
driven_until: ContextVar[float | None] = ContextVar("driven_until", default=None)
#: Chunks that go on in small steps are handed back this long before that moment.
STEP_SECONDS = 1.0
#: `Runtime.drain_by` for the pool's children: shared memory from before the fork, on the clock that they share.
_DRAIN_BY = multiprocessing.Value("d", 0.0, lock=False)


class Runtime:
    """The process's loop, with what chunks report to it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: set[concurrent.futures.Future[Any]] = set()
        self._recorded: deque[tuple[float, int]] = deque()
        #: Rows recorded by lane and client; written with the presence.
        self.usage = LaneUsage()
        #: Client of a dedicated worker -> tenant, as they were when it began.
        self.owners: dict[UUID, UUID] = {}
        self._on_close: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._on_keys: list[Callable[[], None]] = []
        #: Asks the dispatcher for a round; the bootstep puts its own here.
        self.kick: Callable[[], None] = lambda: None
        self.database = concurrent.futures.ThreadPoolExecutor(
            DATABASE_THREADS, thread_name_prefix="laneway-db"
        )
        #: Set when the process should hand back its chunks; monotonic time by which it must have.
        self.drain_by: float | None = None
        #: Set where the process is not a worker's: then nothing is changed that concerns all of it.
        self.is_guest = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, started in a thread of its own at the first call."""
        with self._lock:
            if self._loop is None:
                if not self.is_guest:
                    # A reserved call is sent at its moment; the default switch interval of 5 ms would add to each.
                    sys.setswitchinterval(0.0002)
                    collector.calm()
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="laneway-loop", daemon=True
                ).start()
            return self._loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for it; its exceptions are raised here."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        self._running.add(future)
        try:
            return future.result()
        finally:
            self._running.discard(future)

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Run a blocking call (the database) outside the loop."""
        return await asyncio.get_running_loop().run_in_executor(self.database, call)

    def running(self) -> int:
        """Return how many chunks this process works on."""
        return len(self._running)

    def recorded(self, queue: str, tenant_id: UUID, rows: int) -> None:
        """Note that rows of a client were recorded, out of a lane's queue: for the rate and the lane's usage."""
        self._recorded.append((time.monotonic(), rows))
        # Here too: a process whose rate nobody asks for would keep them all.
        self._forget()
        self.usage.add(queue, tenant_id, rows)

    def rows_per_second(self) -> float:
        """Return the rows recorded a second over the last ten seconds."""
        self._forget()
        return sum(rows for _, rows in list(self._recorded)) / RATE_SECONDS

    def _forget(self) -> None:
        since = time.monotonic() - RATE_SECONDS
        with self._lock:
            while self._recorded and self._recorded[0][0] < since:
                self._recorded.popleft()

    def on_keys_changed(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when keys were edited (from any thread)."""
        self._on_keys.append(callback)

    def keys_changed(self) -> None:
        """Tell whoever holds keys that they were edited."""
        for callback in self._on_keys:
            callback()

    @property
    def seconds_left(self) -> float:
        """Return how long the present thread may still work: as long as the process, and as the call that drives its work.

        Also known in a child of a pool, whose parent was told to stop.
        """
        ends = [moment for moment in (_DRAIN_BY.value, driven_until.get()) if moment]
        return min(ends) - time.monotonic() if ends else float("inf")

    def drain(self) -> None:
        """Ask every chunk to finish its calls and hand itself back; they look at `draining`."""
        if self.drain_by is None:
            self.drain_by = time.monotonic() + get_settings().shutdown_grace_seconds
            _DRAIN_BY.value = self.drain_by
            if self._running:
                log.info("draining", chunks=len(self._running))

    @property
    def draining(self) -> bool:
        """True once the process was asked to stop, or the time of the present thread's driven work is over."""
        until = driven_until.get()
        is_over = until is not None and time.monotonic() > until - STEP_SECONDS
        return is_over or self.drain_by is not None


runtime = Runtime()
