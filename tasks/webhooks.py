"""Webhooks on Celery: a message says which endpoint's chunk may be tried; the rest is `app.webhooks.run`."""

from typing import Any
from uuid import UUID

import aiohttp
import structlog
from celery import shared_task

from app.db.scope import system_scope
from app.jobs.release import recall
from app.settings import get_settings
from app.webhooks.addresses import AddressRule
from app.webhooks.connections import make_session
from app.webhooks.run import run_chunk
from app.webhooks.tools import Tools
from tasks.calling import letting_go
from tasks.once import once
from tasks.presence import WORKER_ID
from tasks.runtime import runtime

log = structlog.get_logger(__name__)


async def _open_session() -> aiohttp.ClientSession:
    return make_session(AddressRule.from_settings(get_settings()))


@once
def _process_session() -> aiohttp.ClientSession:
    return runtime.run(_open_session())


def process_tools() -> Tools:
    """Return what a run is given; the session is made once a process, on the loop, after the fork."""
    settings = get_settings()
    return Tools(
        settings=settings,
        worker_id=WORKER_ID,
        session=_process_session(),
        rule=AddressRule.from_settings(settings),
        in_thread=runtime.in_thread,
        drain_by=letting_go(runtime),
    )


@shared_task(name="tasks.webhooks.deliver")
def deliver(chunk: int, fence: int, tenant_id: str, job: str = "", **_: Any) -> str:
    """Try chunk `chunk` with fence `fence`; return how it ended."""
    if runtime.draining:
        # Not taken, so that another worker has it at once.
        with system_scope() as connection:
            recall(connection, [chunk])
        return "draining"
    tenant = UUID(tenant_id)
    how = runtime.run(run_chunk(process_tools(), chunk, fence, tenant))
    log.info(
        "deliveries_ended", chunk_id=chunk, fence=fence, job_id=job, tenant_id=tenant_id, how=how
    )
    runtime.kick()
    return how
