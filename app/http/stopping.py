"""What a web process lets go of when it is asked to end: streams go elsewhere at once, driven work is handed back.

Requests in flight are gunicorn's to wait for, `--graceful-timeout` at most. What would outlast that must hear of it.
"""

import sys
import threading

from flask import Flask, current_app

#: Streams have this long to take what was written to them.
SEE_OFF_SECONDS = 2.0


class Stopping:
    """Whether this process is asked to end. May be looked at from any thread."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def is_asked(self) -> bool:
        """Whether it is."""
        return self._asked.is_set()

    def let_go(self, app: Flask) -> None:
        """End the streams and have driven chunks hand themselves back; returns at once."""
        self._asked.set()
        app.extensions["event_hub"].close()
        # Only where a call has loaded it: to load Celery takes as long as the process may have.
        if (driving := sys.modules.get("tasks.runtime")) is not None:
            driving.runtime.drain()


def stopping() -> Stopping:
    """Return the running application's own."""
    found: Stopping = current_app.extensions["stopping"]
    return found
