"""Has new work released at once, from the web process, without a request waiting for it.

Workers are told by PostgreSQL and look every second anyway; this makes the messages visible in the queue even while no
worker runs. One thread a process, started at the first call and after any fork. The first call after a pause is served at
once; those that come while a round is under way, or within REST_SECONDS of its beginning, are served together by the next.
So a release costs the same for one job and for a burst of them. What a process that dies still owed, workers find.
"""

import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)
#: From the beginning of a round to that of the next: what came in between waits for no more than this.
REST_SECONDS = 0.05
Dispatch = Callable[[float], object]


class DispatchThread:
    """Call it to have a round soon. Never blocks, never raises."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._asked_at = 0.0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def __call__(self) -> None:
        """Ask for a round."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._begin()
            self._asked_at = time.monotonic()
        self._wanted.set()

    def _begin(self) -> None:
        """Start the thread, at the first call and in a child of a fork. Where there is no room for one, the next call tries."""
        self._wanted = threading.Event()
        thread = threading.Thread(target=self._run, name="laneway-dispatch", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            log.error("dispatch_failed", error=type(error).__name__, detail=str(error))
            return
        self._thread = thread

    def _run(self) -> None:
        dispatch: Dispatch | None = None
        while True:
            self._wanted.wait()
            began = time.monotonic()
            self._wanted.clear()
            try:
                # Within the net: a file that can't be read at this moment must not end the thread for good.
                dispatch = dispatch or _load()
                # Of the latest call: a release of anybody's that began after it has seen the work of all of them.
                dispatch(self._asked_at)
            except ImportError as error:
                log.error("dispatch_failed", error=type(error).__name__, detail=str(error))
            except Exception as error:  # noqa: BLE001 - whatever it is, the work is committed and workers find it
                log.warning("dispatch_failed", error=type(error).__name__)
            time.sleep(max(0.0, began + REST_SECONDS - time.monotonic()))


def _load() -> Dispatch:
    """Load Celery, which the command line and the start of the web can do without."""
    from celery_config import celery_app  # noqa: PLC0415
    from tasks.dispatcher import dispatch  # noqa: PLC0415

    return lambda asked_at: dispatch(celery_app, asked_at=asked_at)
