"""The thread in every worker that keeps the ledger moving.

Each round it refreshes the worker's presence, keeps the ledger if that is its duty, and dispatches. It sleeps until PostgreSQL notifies, a chunk of
this process ends, deferred work falls due, or a second has passed. When a server is away it tries again each second.
"""

import contextlib
import os
import selectors
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg2
import structlog
from celery import Celery
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from app.db.engine import app_engine
from app.db.scope import system_scope
from app.jobs import release as ledger
from app.settings import get_settings
from tasks import dispatcher
from tasks.keeping import Keeper
from tasks.lane_usage import LaneUsage
from tasks.lane_watch import LaneWatch
from tasks.presence import Presence
from tasks.routes import router

log = structlog.get_logger(__name__)
#: Wake-ups that come closer together than this are served by one release: at least, at most, and in between so many times
#: what the last one took. With many lanes that is longer, and looking more often would cost what the calls need.
SETTLE_SECONDS, LONGEST_SETTLE_SECONDS, SETTLE_TIMES = 0.01, 0.1, 4.0


class DispatchLoop(threading.Thread):
    """Runs until `stop`; `kick` asks for a release at once, from any thread."""

    def __init__(
        self,
        app: Celery,
        presence: Presence,
        *,
        running: Callable[[], int],
        rows_per_second: Callable[[], float],
        on_keys_changed: Callable[[], None],
        usage: LaneUsage,
        watch: LaneWatch | None = None,
    ) -> None:
        super().__init__(name="laneway-dispatch", daemon=True)
        self._app = app
        self._presence = presence
        self._running = running
        self._rate = rows_per_second
        self._on_keys_changed = on_keys_changed
        self._usage = usage
        self._watch = watch or LaneWatch()
        self._stopping = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._listener: Any = None
        self._next_presence = 0.0
        self._keeper = Keeper()
        #: The monotonic moment of the last heartbeat that the database took.
        self.beat_at: float | None = None
        self._took_seconds = 0.0
        #: From when on there has been cause for a release.
        self._asked_at = time.monotonic()

    def kick(self) -> None:
        """Dispatch as soon as possible."""
        with contextlib.suppress(BlockingIOError):  # A full pipe wakes it just as well.
            os.write(self._wake_write, b"k")

    def stop(self) -> None:
        """End the loop and take this worker off the presence table."""
        self._stopping.set()
        self.kick()
        self.join(timeout=10)
        self._keeper.stop()
        try:
            with system_scope() as connection:
                self._presence.leave(connection)
        except SQLAlchemyError as error:
            # The row grows old by itself.
            log.warning("presence_not_removed", error=type(error).__name__)

    def run(self) -> None:
        """Go round until stopped; no failure ends it."""
        settings = get_settings()
        while not self._stopping.is_set():
            wait = settings.dispatch_interval_seconds
            try:
                self._round()
                with system_scope() as connection:
                    due = ledger.next_due(connection, wait)
                wait = wait if due is None else max(0.0, min(wait, due))
                self._listen()
            except ProgrammingError as error:
                # Another version's schema: it will not mend itself, and the words of the database say what is missing.
                log.error(
                    "schema_mismatch",
                    detail=str(error.orig).strip(),
                    remedy="python -m app.db.migrate",
                )
                self._drop_listener()
            except (SQLAlchemyError, psycopg2.Error) as error:
                log.warning("database_unreachable", error=type(error).__name__)
                self._drop_listener()
            except Exception:
                log.exception("dispatch_failed")
            try:
                self._sleep(wait)
            except (OSError, ValueError, psycopg2.Error) as error:
                log.warning("listener_lost", error=type(error).__name__)
                self._drop_listener()
        self._drop_listener()

    def _round(self) -> None:
        now = time.monotonic()
        if now >= self._next_presence:
            with system_scope() as connection:
                self._presence.beat(
                    connection, running=self._running(), rows_per_second=self._rate()
                )
            self.beat_at = time.monotonic()
            if not self._next_presence:
                # Its slots are places that no release has seen yet.
                self._asked_at = time.monotonic()
            self._next_presence = now + get_settings().presence_seconds
            self._usage.flush(system_scope)
        try:
            self._keeper.work()
            self._watch.look()
        finally:
            # Whatever else fails, work goes out.
            began = time.monotonic()
            dispatcher.dispatch(self._app, asked_at=self._asked_at)
            self._took_seconds = time.monotonic() - began

    def _listen(self) -> None:
        if self._listener is not None:
            return
        pooled = app_engine().raw_connection()
        pooled.detach()  # Outside the pool: it lives as long as the loop, and its death is this loop's to see.
        self._listener = pooled.dbapi_connection
        self._listener.autocommit = True
        with self._listener.cursor() as cursor:
            cursor.execute(
                "LISTEN laneway_ready; LISTEN laneway_routes; LISTEN laneway_keys; LISTEN laneway_webhooks"
            )

    def _drop_listener(self) -> None:
        if self._listener is not None:
            try:
                self._listener.close()
            except psycopg2.Error as error:
                log.debug("listener_not_closed", error=type(error).__name__)
            self._listener = None
        router.invalidate()

    def _sleep(self, seconds: float) -> None:
        # A selector, not select(): a busy process has more than the 1,024 descriptors that select() can watch.
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            if self._listener is not None:
                selector.register(self._listener, selectors.EVENT_READ)
            slept_at = time.monotonic()
            ready = {key.fileobj for key, _ in selector.select(seconds)}
        if not ready:
            # What fell due did so by now; a mere look is needless where another had one since the last.
            is_due = seconds < get_settings().dispatch_interval_seconds
            self._asked_at = time.monotonic() if is_due else slept_at
            return
        self._asked_at = time.monotonic()
        time.sleep(
            max(SETTLE_SECONDS, min(LONGEST_SETTLE_SECONDS, SETTLE_TIMES * self._took_seconds))
        )
        if self._wake_read in ready:
            os.read(self._wake_read, 65536)
        if self._listener in ready:
            self._take_notices()

    def _take_notices(self) -> None:
        try:
            self._listener.poll()
        except psycopg2.Error:
            self._drop_listener()
            return
        for notice in self._listener.notifies:
            if notice.channel == "laneway_routes":
                router.invalidate()
                self._keeper.tend_soon()
                self._watch.look_soon()
            elif notice.channel == "laneway_webhooks":
                self._keeper.spread_soon()
            elif notice.channel == "laneway_keys":
                self._on_keys_changed()
        self._listener.notifies.clear()
