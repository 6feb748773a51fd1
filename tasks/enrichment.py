"""Enrichment on Celery: a message says which chunk may be tried; the rest is `app.enrichment.run`."""

from functools import partial
from typing import Any
from uuid import UUID

import structlog
from celery import shared_task

from app.db.scope import system_scope
from app.enrichment.run import run_chunk
from app.jobs.release import recall
from routing.queues import ENRICHMENT
from tasks.calling import process_calling
from tasks.enrichment_tools import EnrichmentWork
from tasks.once import once
from tasks.runtime import runtime

log = structlog.get_logger(__name__)


@once
def _process_work() -> EnrichmentWork:
    return runtime.run(EnrichmentWork.build(process_calling()))


@shared_task(name="tasks.enrichment.enrich_chunk")
def enrich_chunk(chunk: int, fence: int, tenant_id: str, job: str = "", **_: Any) -> str:
    """Try chunk `chunk` with fence `fence`; return how it ended."""
    if runtime.draining:
        # Not taken, so that another worker has it at once.
        with system_scope() as connection:
            recall(connection, [chunk])
        return "draining"
    on_recorded = partial(runtime.recorded, ENRICHMENT, UUID(tenant_id))
    tools = _process_work().tools_for(on_recorded)
    how = runtime.run(run_chunk(tools, chunk, fence, UUID(tenant_id)))
    log.info("chunk_ended", chunk_id=chunk, fence=fence, job_id=job, tenant_id=tenant_id, how=how)
    runtime.kick()
    return how
