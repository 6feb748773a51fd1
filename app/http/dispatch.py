"""Has new work released at once, from the web process, without a request waiting for it.

Workers are told by PostgreSQL and look every second anyway; this makes the messages visible in the queue even while no
worker runs. One thread a process, started at the first call and after any fork; calls that come while it is at work
are one more round.
"""

import os
import threading

import structlog

log = structlog.get_logger(__name__)


class DispatchThread:
    """Call it to have a round soon. Never blocks, never raises."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._pid: int | None = None

    def __call__(self) -> None:
        """Ask for a round."""
        with self._lock:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._wanted = threading.Event()
                threading.Thread(target=self._run, name="laneway-dispatch", daemon=True).start()
        self._wanted.set()

    def _run(self) -> None:
        # Loads Celery, which the command line and the start of the web can do without.
        from celery_config import celery_app  # noqa: PLC0415
        from tasks.dispatcher import dispatch  # noqa: PLC0415

        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                dispatch(celery_app)
            except Exception as error:  # noqa: BLE001 - whatever it is, the work is committed and workers find it
                log.warning("dispatch_failed", error=type(error).__name__)
