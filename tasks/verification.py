"""Verification on Celery: a message says which chunk may be tried; the rest is `app.verification.run`."""

from functools import partial
from typing import Any
from uuid import UUID

import structlog
from celery import current_task, shared_task

from app.db.scope import system_scope
from app.jobs.release import recall
from app.verification.run import run_chunk
from tasks.calling import process_calling
from tasks.once import once
from tasks.routes import router
from tasks.runtime import runtime
from tasks.verification_tools import VerificationWork

log = structlog.get_logger(__name__)


@once
def _process_work() -> VerificationWork:
    return runtime.run(VerificationWork.build(process_calling()))


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
    tools = _process_work().tools_for(on_recorded)
    how = runtime.run(run_chunk(tools, chunk, fence, UUID(tenant_id)))
    log.info("chunk_ended", chunk_id=chunk, fence=fence, job_id=job, tenant_id=tenant_id, how=how)
    runtime.kick()
    return how
