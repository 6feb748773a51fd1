"""Work done in the calling process, for installations without workers: some chunks, for some seconds, beside any others.

A cron service that can only call an address drives the ledger with it. Chunks are released and leased as everywhere, so
workers and any number of such calls may be at it at once; what can't be finished in time is handed back.
"""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import structlog

from app.db.scope import system_scope
from app.jobs import release as ledger
from app.jobs.release import Released
from app.settings import get_settings
from tasks.acts import act_on_jobs
from tasks.calling import driven_until
from tasks.dispatcher import recover
from tasks.enrichment import enrich_chunk
from tasks.uploads import parse_upload
from tasks.verification import verify_chunk

log = structlog.get_logger(__name__)
#: Kind of chunk -> what runs it.
RUNS: dict[str, Callable[..., str]] = {
    "act": act_on_jobs,
    "enrich": enrich_chunk,
    "parse": parse_upload,
    "verify": verify_chunk,
}
#: Nothing is begun that has less time than this.
LEAST_SECONDS = 1.0
#: Between two looks for work while chunks are running.
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Driven:
    """What a call did: chunks by how they ended, and whether it stopped for want of time or number, so that more may be there."""

    chunks: int
    by_ending: dict[str, int]
    has_more: bool
    ms: int


def drive(max_chunks: int, seconds: float, *, concurrency: int) -> Driven:
    """Run up to `max_chunks` ready chunks for at most `seconds`; return what became of them."""
    began = time.monotonic()
    deadline = began + seconds
    endings: Counter[str] = Counter()
    running: set[Future[str]] = set()
    left, is_short = max_chunks, False
    recover()
    with ThreadPoolExecutor(concurrency, thread_name_prefix="laneway-driven") as pool:
        while True:
            is_short = left == 0 or time.monotonic() > deadline - LEAST_SECONDS
            if not is_short and (free := min(left, concurrency - len(running))):
                found = _find(free)
                left -= len(found)
                running |= {pool.submit(_run, chunk, deadline) for chunk in found}
            if not running:
                break
            done, running = wait(running, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
            endings.update(future.result() for future in done)
    ms = round(1e3 * (time.monotonic() - began))
    return Driven(endings.total(), dict(endings), has_more=is_short, ms=ms)


def _find(n: int) -> list[Released]:
    """Release up to n chunks for this process; then take those that wait in queues which no worker serves."""
    settings = get_settings()
    with system_scope() as connection:
        found = ledger.release(
            connection,
            limit=n,
            unattended_window=settings.unattended_window,
            presence_seconds=settings.presence_timeout_seconds,
        )
        if len(found) < n:
            known = {chunk.chunk_id for chunk in found}
            waiting = ledger.unattended(connection, n, settings.presence_timeout_seconds)
            found += [chunk for chunk in waiting if chunk.chunk_id not in known][: n - len(found)]
    # Kinds that only workers know (none today) stay with their queue.
    return [chunk for chunk in found if chunk.kind in RUNS]


def _run(chunk: Released, deadline: float) -> str:
    driven_until.set(deadline)
    try:
        run = RUNS[chunk.kind]
        return run(chunk.chunk_id, chunk.fence, str(chunk.tenant_id), job=str(chunk.job_id))
    except Exception:
        # As in a worker: the lease runs out, and the attempt counts.
        log.exception("driven_chunk_failed", chunk_id=chunk.chunk_id)
        return "failed"
