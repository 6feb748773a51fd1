"""Work done in the calling process, for installations without workers: some chunks, for some seconds, beside any others.

A cron service that can only call an address drives the ledger with it. Chunks are released and leased as everywhere, so
workers and any number of such calls may be at it at once; what can't be finished in time is handed back. What a live worker
serves is left to it: its keys may be its own, and this process would find none.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import structlog
from celery import Celery, current_app
from sqlalchemy.exc import SQLAlchemyError

from app.db.scope import system_scope
from app.jobs import release as ledger
from app.jobs.release import Released
from app.settings import get_settings
from tasks.acts import act_on_jobs
from tasks.calling import LET_GO_SECONDS
from tasks.dispatcher import REDIS_ERRORS, broker_client, publish, recover
from tasks.enrichment import enrich_chunk
from tasks.left_messages import remove_stale_messages
from tasks.runtime import driven_until, runtime
from tasks.uploads import parse_upload
from tasks.verification import verify_chunk
from tasks.webhooks import deliver

log = structlog.get_logger(__name__)
#: Kind of chunk -> what runs it.
RUNS: dict[str, Callable[..., str]] = {
    "act": act_on_jobs,
    "deliver": deliver,
    "enrich": enrich_chunk,
    "parse": parse_upload,
    "verify": verify_chunk,
}
#: Nothing is begun that has less time than this, but for what is found first: a call may be short.
LEAST_SECONDS = LET_GO_SECONDS + 0.5
#: Between two looks for work while chunks are running.
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Driven:
    """What a call did: chunks by how they ended, and whether it stopped for want of time or number, so that more may be there."""

    chunks: int
    by_ending: dict[str, int]
    has_more: bool
    ms: int


def drive(
    max_chunks: int, seconds: float, *, concurrency: int, app: Celery | None = None
) -> Driven:
    """Run up to `max_chunks` ready chunks for at most `seconds`; return what became of them.

    `app` (default: the current one) publishes what is released for live workers.
    """
    began = time.monotonic()
    deadline = began + seconds
    endings: Counter[str] = Counter()
    running: set[Future[str]] = set()
    begun: dict[tuple[int, int], str] = {}
    is_short = False
    runtime.is_guest = True
    recover()
    with ThreadPoolExecutor(concurrency, thread_name_prefix="laneway-driven") as pool:
        while True:
            left, is_late = max_chunks - len(begun), time.monotonic() > deadline - LEAST_SECONDS
            # This process is asked to end, or a chunk needs longer than is left: what is found now would fare no better.
            is_over = runtime.drain_by is not None or bool(endings["draining"])
            is_short = left == 0 or is_over or (is_late and bool(begun))
            if not is_short and (free := min(left, concurrency - len(running))):
                for chunk in _find(app or current_app, free, begun):
                    begun[chunk.chunk_id, chunk.fence] = chunk.queue
                    running.add(pool.submit(_run, chunk, deadline))
            if not running:
                break
            done, running = wait(running, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
            endings.update(future.result() for future in done)
    _tidy(set(begun.values()))
    ms = round(1e3 * (time.monotonic() - began))
    return Driven(endings.total(), dict(endings), has_more=is_short, ms=ms)


def _find(app: Celery, n: int, begun: Collection[tuple[int, int]]) -> list[Released]:
    """Release up to n chunks for this process; then take those that wait in queues which no worker serves.

    A chunk may take its time until it is leased, so what was `begun` is left out.
    """
    presence = get_settings().presence_timeout_seconds
    found = _release(app, n)
    if len(found) < n:
        with system_scope() as connection:
            waiting = ledger.unattended(connection, n + len(begun), presence)
        known = {*begun, *((chunk.chunk_id, chunk.fence) for chunk in found)}
        new = [chunk for chunk in waiting if (chunk.chunk_id, chunk.fence) not in known]
        found += new[: n - len(found)]
    return found


def _release(app: Celery, n: int) -> list[Released]:
    """Release as a dispatcher does, and return up to n chunks of queues that nobody serves; the others are published."""
    settings, ours = get_settings(), list[Released]()
    while len(ours) < n:
        with system_scope() as connection:
            attended = ledger.attended(connection, settings.presence_timeout_seconds)
            released = ledger.release(
                connection,
                limit=n - len(ours),
                unattended_window=settings.unattended_window,
                presence_seconds=settings.presence_timeout_seconds,
            )
        theirs = [chunk for chunk in released if chunk.queue in attended]
        is_last = publish(app, theirs) < len(theirs) or len(released) < n - len(ours)
        ours += [chunk for chunk in released if chunk.queue not in attended]
        if is_last:
            break
    return ours


def _tidy(queues: Collection[str]) -> None:
    """Remove the wake-ups of what was driven, which nobody else takes, and write what was done by lane."""
    try:
        remove_stale_messages(broker_client(), queues)
        runtime.usage.flush(system_scope)
    except (SQLAlchemyError, *REDIS_ERRORS) as error:
        # Both are made up for at the next call.
        log.warning("driven_not_tidied", error=type(error).__name__)


def _run(chunk: Released, deadline: float) -> str:
    driven_until.set(deadline)
    try:
        run = RUNS[chunk.kind]
        return run(chunk.chunk_id, chunk.fence, str(chunk.tenant_id), job=str(chunk.job_id))
    except Exception:
        # As in a worker: the lease runs out, and the attempt counts.
        log.exception("driven_chunk_failed", chunk_id=chunk.chunk_id)
        return "failed"
