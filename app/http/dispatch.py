"""Has new work released at once, from the web process, without a request waiting for it.

Workers are told by PostgreSQL and look every second anyway; this makes the messages visible in the queue even while no
worker runs. One thread a process, started at the first call and after any fork. The first call after a pause is served at
once; those that come while a round is under way, or within REST_SECONDS of its beginning, are served together by the next.
So a release costs the same for one job and for a burst of them. What a process that dies still owed, workers find.
"""

import os
import threading
import time

import structlog

log = structlog.get_logger(__name__)
#: From the beginning of a round to that of the next: what came in between waits for no more than this.
REST_SECONDS = 0.05


class DispatchThread:
    """Call it to have a round soon. Never blocks, never raises."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._asked_at = 0.0
        self._lock = threading.Lock()
        self._pid: int | None = None

    def __call__(self) -> None:
        """Ask for a round."""
        with self._lock:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._wanted = threading.Event()
                threading.Thread(target=self._run, name="laneway-dispatch", daemon=True).start()
            self._asked_at = time.monotonic()
        self._wanted.set()

    def _run(self) -> None:
        # Loads Celery, which the command line and the start of the web can do without.
        from celery_config import celery_app  # noqa: PLC0415
        from tasks.dispatcher import dispatch  # noqa: PLC0415

        while True:
            self._wanted.wait()
            began = time.monotonic()
            self._wanted.clear()
            try:
                # Of the latest call: a release of anybody's that began after it has seen the work of all of them.
                dispatch(celery_app, asked_at=self._asked_at)
            except Exception as error:  # noqa: BLE001 - whatever it is, the work is committed and workers find it
                log.warning("dispatch_failed", error=type(error).__name__)
            time.sleep(max(0.0, began + REST_SECONDS - time.monotonic()))
