"""The thread that holds a web process's streams: it listens for changes, reads jobs once for all viewers, and sends.

It starts with the first stream, and again after a fork. Reading happens in a few threads of its own, so a slow database
delays events and never the loop. What may have been missed is never guessed at: viewers are told to read their list again.
"""

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.http.live import figures
from app.http.live.audience import MOST_JOBS, Audience
from app.http.live.changes import RecentChanges
from app.http.live.frames import Ids, frame, greeting
from app.http.live.keeping import keep_viewers
from app.http.live.listener import Listener
from app.http.live.reading import read_jobs, read_moving
from app.http.live.viewer import Viewer
from app.http.stopping import SEE_OFF_SECONDS

log = structlog.get_logger(__name__)
TICK_SECONDS = 0.1
#: Rows are recorded without a notice, for there may be thousands a second; so whoever watches looks this often.
LOOK_SECONDS = 2.0
AGAIN_SECONDS = 1.0
#: A host that vanished is noticed by what it does not acknowledge (Linux: TCP_USER_TIMEOUT).
UNACKNOWLEDGED_MILLISECONDS = 60_000


class EventHub:
    """`adopt` may be called from any thread; everything else happens on the loop."""

    def __init__(self, *, heartbeat_seconds: float) -> None:
        self.heartbeat_seconds = heartbeat_seconds
        self.ids = Ids()
        self.audiences: dict[UUID, Audience] = {}
        self._changes = RecentChanges()
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None
        #: No stream is taken any more.
        self.is_closed = False

    def count(self, tenant_id: UUID | None = None) -> int:
        """Return how many streams are open, of one client or of all."""
        audiences = dict(self.audiences)
        if tenant_id is not None:
            audience = audiences.get(tenant_id)
            return len(audience.viewers) if audience else 0
        return sum(len(audience.viewers) for audience in audiences.values())

    def adopt(self, head: bytes, sock: socket.socket, viewer: Viewer) -> None:
        """Take over a connection: send the head of the answer, then events until somebody ends it."""
        sock.settimeout(0)
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MILLISECONDS
            )
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asyncio.run_coroutine_threadsafe(self._welcome(head, sock, viewer), self._running_loop())

    def close(self) -> None:
        """End all streams for good, because the process is about to end: viewers connect again, elsewhere. Does not wait."""
        self.is_closed = True
        self.stop()

    def wait_closed(self, seconds: float) -> None:
        """Wait until the streams have ended, for so long at most."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def stop(self) -> None:
        """End all streams and the thread."""
        with self._lock:
            loop, self._loop, self._pid = self._loop, None, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    async def in_thread(self, call: Any, *arguments: Any) -> Any:
        """Call something that waits for the database."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *arguments)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                # What a fork inherited belongs to the parent.
                self.audiences, self._tasks = {}, set()
                self._pid, self._loop = os.getpid(), asyncio.new_event_loop()
                self._pool = ThreadPoolExecutor(4, "laneway-events")
                self._thread = threading.Thread(
                    target=self._run, args=(self._loop,), name="laneway-events", daemon=True
                )
                self._thread.start()
            return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        heard = Listener(self.in_thread, self._begin, self._note, self._changes.end)
        for work in (heard.run, self._tick, self._look, partial(keep_viewers, self)):
            loop.call_soon(self._spawn, _keep_up(work))
        loop.run_forever()
        for audience in self.audiences.values():
            for viewer in audience.viewers:
                viewer.end()
        for task in self._tasks:
            task.cancel()
        loop.run_until_complete(self._see_off())
        loop.close()

    async def _see_off(self) -> None:
        """Let what was written reach who is there still."""
        until = asyncio.get_running_loop().time() + SEE_OFF_SECONDS
        await asyncio.sleep(0)
        # Viewers tell of their end by leaving their audience, some in no time, some not at all.
        while self.audiences and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _welcome(self, head: bytes, sock: socket.socket, viewer: Viewer) -> None:
        loop = asyncio.get_running_loop()
        # Before it is connected, so that neither its end nor an event can come between.
        self.audiences.setdefault(viewer.tenant_id, Audience()).viewers.add(viewer)
        figures.STREAMS.inc()
        greeted = head + greeting(self.ids.next(), self.heartbeat_seconds)
        viewer.begin(loop.time(), greeted, self._forget)
        try:
            await loop.connect_accepted_socket(lambda: viewer, sock)
        except OSError as error:
            log.debug("viewer_gone", error=type(error).__name__)
            self._forget(viewer)
            sock.close()
            return
        if viewer.last_id is not None:
            await self._catch_up(viewer)

    async def _catch_up(self, viewer: Viewer) -> None:
        """Send what changed since the viewer's last event, to it alone, or that this is not known."""
        now, loop = time.time(), asyncio.get_running_loop()
        missed = self._changes.since((viewer.last_id or 0) / 1e6, now, viewer.tenant_id)
        data = None
        if missed is not None and len(missed) <= MOST_JOBS:
            data = await self._read(viewer.tenant_id, missed)
        viewer.send(frame(self.ids.next(), "reset") if data is None else data, loop.time())

    def _forget(self, viewer: Viewer) -> None:
        figures.STREAMS.dec()
        audience = self.audiences.get(viewer.tenant_id)
        if audience is None:
            return
        audience.viewers.discard(viewer)
        if not audience.viewers:
            del self.audiences[viewer.tenant_id]

    def _begin(self) -> None:
        """From now on every change is heard; whoever came before may have missed something."""
        self._changes.begin(time.time())
        for audience in self.audiences.values():
            audience.reset_soon()

    def _note(self, notices: Iterable[tuple[UUID, UUID]]) -> None:
        now = asyncio.get_running_loop().time()
        for tenant_id, job_id in notices:
            self._changes.note(time.time(), tenant_id, job_id)
            if audience := self.audiences.get(tenant_id):
                audience.note(job_id, now)

    async def _tick(self) -> None:
        while True:
            now = asyncio.get_running_loop().time()
            for tenant_id, audience in list(self.audiences.items()):
                if audience.take_reset(now):
                    audience.send(frame(self.ids.next(), "reset"), now)
                if not audience.is_reading and (jobs := audience.take_due(now)):
                    audience.is_reading = True
                    self._spawn(self._tell(tenant_id, audience, jobs))
            await asyncio.sleep(TICK_SECONDS)

    async def _tell(self, tenant_id: UUID, audience: Audience, jobs: list[UUID]) -> None:
        try:
            data = await self._read(tenant_id, jobs)
        finally:
            audience.is_reading = False
        if data is None:
            audience.reset_soon()
        else:
            audience.send(data, asyncio.get_running_loop().time())
            figures.EVENTS.inc(len(jobs) * len(audience.viewers))

    async def _read(self, tenant_id: UUID, jobs: Iterable[UUID]) -> bytes | None:
        """Return the jobs as events, None where they could not be read."""
        try:
            found = await self.in_thread(read_jobs, tenant_id, list(jobs))
        except SQLAlchemyError as error:
            log.warning("events_not_read", error=type(error).__name__)
            return None
        return b"".join(frame(self.ids.next(), "job", job) for job in found)

    async def _look(self) -> None:
        """Note the jobs for which rows are being recorded, of clients somebody watches."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for tenant_id, audience in list(self.audiences.items()):
                try:
                    moving = await self.in_thread(read_moving, tenant_id, LOOK_SECONDS * 1.5)
                except SQLAlchemyError as error:
                    log.warning("events_not_read", error=type(error).__name__)
                    break
                for job_id in moving:
                    audience.note(job_id, asyncio.get_running_loop().time())


async def _keep_up(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do work that never ends; no mistake in it ends it for all viewers."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("events_failed")
        await asyncio.sleep(AGAIN_SECONDS)
