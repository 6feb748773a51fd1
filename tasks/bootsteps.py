"""What a worker does beside running tasks: say what it is, refuse what can't be right, and dispatch.

The step runs in the worker's main process; pool children of prefork workers inherit nothing of it.
"""

import sys
import time
from typing import Any

import structlog
from celery import Celery, bootsteps, signals
from sqlalchemy.exc import OperationalError

from app.db.engine import dispose_after_fork
from app.db.scope import system_scope, tenant_scope
from app.errors import LanewayError
from app.jobs.lease import lift_holds
from app.logs import configure_logging
from app.settings import get_settings
from app.verification.key_registry import public_facts
from routing import queues as queue_names
from routing.worker_configs import find_client
from tasks import worker_mode
from tasks.dispatch_loop import DispatchLoop
from tasks.presence import Presence
from tasks.runtime import runtime

log = structlog.get_logger(__name__)
#: Servers that start together come up in any order; this long a worker waits for PostgreSQL.
DATABASE_PATIENCE_SECONDS = 30.0


def refuse(error: LanewayError) -> None:
    """End this worker with the reason and exit code 78 (EX_CONFIG of sysexits.h)."""
    print(f"This worker can't start: {error.message}", file=sys.stderr, flush=True)
    raise SystemExit(78)


def greet(queues: list[str]) -> Presence:
    """Check the environment of this worker, log what it is, and return its presence (name and slots still to be set)."""
    settings = get_settings()
    if settings.worker_mode == "shared":
        shown = [public_facts(key) for key in worker_mode.environment_keys(settings)]
        return Presence(name="", mode="shared", slots=0, queues=queues, keys=shown)
    client = worker_mode.dedicated_client(settings)
    queue = worker_mode.dedicated_queue(settings)
    keys = worker_mode.environment_keys(settings)
    deadline = time.monotonic() + DATABASE_PATIENCE_SECONDS
    while True:
        try:
            with system_scope() as connection:
                lane = find_client(connection, client)
            break
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
    warning = worker_mode.check_client(settings, lane)
    if keys and lane is not None:
        # A hold was made by the keys of before; these may have something to give.
        with tenant_scope(lane.tenant_id) as connection:
            lift_holds(connection, queue_names.KINDS["verify"].name)
    lines = [
        "🔒 DEDICATED WORKER MODE",
        f"   Client ID: {client}",
        f"   Queue: {queue}",
        f"   Keys: {len(keys)}"
        + ("" if keys else " (none here: the client's keys of the database are used)"),
        f"🚀 Starting queue poller for: {queue}",
        "🔒 Dedicated mode - processing only jobs from this queue",
    ]
    print("\n".join(lines), flush=True)
    if warning:
        log.warning("dedicated_queue_mismatch", detail=warning)
    return Presence(
        name="",
        mode="dedicated",
        slots=0,
        queues=queues,
        client_id=client,
        keys=[public_facts(key) for key in keys],
    )


class DispatchStep(bootsteps.StartStopStep):
    """Starts the dispatch loop when the pool is up, stops it before the pool goes down."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self.loop: DispatchLoop | None = None

    def start(self, worker: Any) -> None:
        """Check, greet, start."""
        queues = list(worker.app.amqp.queues.consume_from)
        try:
            presence = greet(queues)
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
        )
        runtime.kick = self.loop.kick
        self.loop.start()

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Hand back what runs, leave the presence table."""
        runtime.drain()
        if self.loop is not None:
            self.loop.stop()
            self.loop = None

    def terminate(self, parent: Any) -> None:
        """End as `stop` does: a worker that is told to hurry still hands back."""
        self.stop(parent)


@signals.worker_shutting_down.connect
def _drain(**_: Any) -> None:
    # Sent as soon as SIGTERM arrives, before Celery begins to wait for its running tasks.
    runtime.drain()


@signals.worker_process_init.connect
def _after_fork(**_: Any) -> None:
    dispose_after_fork()


@signals.setup_logging.connect
def _logging(**_: Any) -> None:
    configure_logging()


def install(app: Celery) -> None:
    """Give the app's workers the dispatch step."""
    app.steps["worker"].add(DispatchStep)
