"""Verification on Celery: a message says which chunk may be tried; the rest is `app.verification.run`."""

import threading
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

import structlog
from celery import current_task, shared_task

from app.db.scope import system_scope
from app.jobs.release import recall
from app.settings import get_settings
from app.verification.run import run_chunk
from tasks.routes import router
from tasks.runtime import runtime
from tasks.verification_tools import VerificationTools

log = structlog.get_logger(__name__)


_making_tools = threading.Lock()


@lru_cache
def _make_tools() -> VerificationTools:
    return runtime.run(VerificationTools.build(get_settings(), runtime))


def process_tools() -> VerificationTools:
    """Return this process's provider client, keys and limits: made once, on the loop, after the fork."""
    # A cache alone lets all the slots that a full queue fills at start make tools of their own: a session and key pools each.
    with _making_tools:
        return _make_tools()


def _came_by(tenant_id: str) -> str:
    """Return the queue that the wake-up came through; without a message (a call by hand) the client's."""
    delivery = current_task.request.delivery_info if current_task else None
    return str((delivery or {}).get("routing_key") or router.queue_for("verify", tenant_id))


@shared_task(name="tasks.verification.verify_chunk")
def verify_chunk(chunk: int, fence: int, tenant_id: str, job: str = "", **_: Any) -> str:
    """Try chunk `chunk` with fence `fence`; return how it ended."""
    if runtime.draining:
        # Not taken, so that another worker has it at once.
        with system_scope() as connection:
            recall(connection, [chunk])
        return "draining"
    on_recorded = partial(runtime.recorded, _came_by(tenant_id), UUID(tenant_id))
    tools = process_tools().for_run(on_recorded)
    how = runtime.run(run_chunk(tools, chunk, fence, UUID(tenant_id)))
    log.info("chunk_ended", chunk_id=chunk, fence=fence, job_id=job, tenant_id=tenant_id, how=how)
    runtime.kick()
    return how
