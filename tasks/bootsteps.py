"""What a worker does beside running tasks: say what it is, refuse what can't be right, and dispatch.

The step runs in the worker's main process; pool children of prefork workers inherit nothing of it.
"""

import sys
from typing import Any

import structlog
from celery import Celery, bootsteps, signals
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import dispose_after_fork
from app.db.scope import system_scope
from app.errors import LanewayError
from app.logs import configure_logging
from app.settings import get_settings
from tasks.dispatch_loop import DispatchLoop
from tasks.greeting import greet, watch_lanes
from tasks.health_server import HealthServer, Vitals, serve_health
from tasks.presence import Presence
from tasks.runtime import runtime

log = structlog.get_logger(__name__)


def refuse(error: LanewayError) -> None:
    """End this worker with the reason and exit code 78 (EX_CONFIG of sysexits.h)."""
    print(f"This worker can't start: {error.message}", file=sys.stderr, flush=True)
    raise SystemExit(78)


class DispatchStep(bootsteps.StartStopStep):
    """Starts the dispatch loop when the pool is up, stops it before the pool goes down."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self.loop: DispatchLoop | None = None
        self.health: HealthServer | None = None

    def start(self, worker: Any) -> None:
        """Check, greet, start."""
        queues = list(worker.app.amqp.queues.consume_from)
        try:
            watch = watch_lanes(get_settings())
            presence = greet(queues, watch)
        except LanewayError as error:
            refuse(error)
            return
        presence.name = worker.hostname
        presence.slots = worker.concurrency
        self.loop = DispatchLoop(
            worker.app,
            presence,
            running=runtime.running,
            rows_per_second=runtime.rows_per_second,
            on_keys_changed=runtime.keys_changed,
            usage=runtime.usage,
            watch=watch,
        )
        runtime.kick = self.loop.kick
        self.loop.start()
        self.health = _serve_health(presence, self.loop)

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Hand back what runs, leave the presence table."""
        runtime.drain()
        if self.loop is not None:
            self.loop.stop()
            self.loop = None
        if self.health is not None:
            self.health.stop()
            self.health = None

    def terminate(self, parent: Any) -> None:
        """End as `stop` does: a worker that is told to hurry still hands back."""
        self.stop(parent)


def _serve_health(presence: Presence, loop: DispatchLoop) -> HealthServer | None:
    settings = get_settings()
    if not settings.health_check_port:
        return None
    vitals = Vitals(
        presence,
        running=runtime.running,
        rows_per_second=runtime.rows_per_second,
        is_draining=lambda: runtime.draining,
        beat_at=lambda: loop.beat_at,
        timeout_seconds=settings.presence_timeout_seconds,
    )
    return serve_health(vitals, settings.health_check_host, settings.health_check_port)


@signals.worker_shutting_down.connect
def _drain(**_: Any) -> None:
    # Sent as soon as SIGTERM arrives, before Celery begins to wait for its running tasks.
    runtime.drain()


@signals.worker_shutdown.connect
def _write_usage(**_: Any) -> None:
    # When the pool has ended: what was recorded while it drained counts too.
    try:
        runtime.usage.flush(system_scope)
    except SQLAlchemyError as error:
        log.warning("usage_not_written", error=type(error).__name__)


@signals.worker_process_init.connect
def _after_fork(**_: Any) -> None:
    dispose_after_fork()


@signals.setup_logging.connect
def _logging(**_: Any) -> None:
    configure_logging()


def install(app: Celery) -> None:
    """Give the app's workers the dispatch step."""
    app.steps["worker"].add(DispatchStep)
