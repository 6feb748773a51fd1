"""Parsing uploads on Celery: one chunk of kind `parse` a list, on the queue that all clients share."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from celery import shared_task
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.db.scope import pauses_allowed, tenant_scope
from app.errors import LanewayError
from app.jobs import lease as ledger
from app.jobs import records
from app.jobs.lease import Lease
from app.settings import get_settings
from app.uploads.ingest import Ingested, Interrupted, load_list, settle_list
from app.uploads.lead_columns import LeadsWanted
from app.uploads.limits import ReadLimits
from app.uploads.storage import LocalStorage, Storage
from app.uploads.submit import leads_wanted
from tasks.dispatcher import dispatch
from tasks.presence import WORKER_ID
from tasks.runtime import driven_until, runtime

log = structlog.get_logger(__name__)
_FAIL = text("""
    UPDATE jobs SET status = 'failed', error = :error, finished_at = clock_timestamp(), updated_at = clock_timestamp()
    WHERE id = :job AND status IN ('pending', 'processing')
""")


def open_storage() -> Storage:
    """Return where uploaded files are."""
    return LocalStorage(get_settings().storage_path)


#: A list whose rows are read is kept; one that is still being read when this is all that is left is handed back.
SETTLE_SECONDS = 10.0
#: Of a call that drives work for a shorter time, this part is kept for it.
SETTLE_PART = 1 / 3


class LeaseLost(Exception):
    """Another worker has the chunk, or the job was cancelled: what this one has done is rolled back."""

    def __init__(self, *, cancelled: bool) -> None:
        super().__init__("cancelled" if cancelled else "lost")
        self.cancelled = cancelled


@shared_task(name="tasks.uploads.parse_upload")
def parse_upload(chunk: int, fence: int, tenant_id: str, job: str = "", **_: Any) -> str:
    """Try chunk `chunk` with fence `fence`; return how it ended.

    One of stale, done, refused, cancelled, lost, draining.
    """
    seconds = get_settings().lease_seconds
    with tenant_scope(tenant_id) as connection:
        lease = ledger.take(connection, chunk, fence, worker=WORKER_ID, seconds=seconds)
    if lease is None:
        return "stale"
    how = _parse(lease)
    log.info("upload_parsed", job_id=job, tenant_id=tenant_id, chunk_id=chunk, how=how)
    if how == "done":
        dispatch()
    return how


def _parse(lease: Lease) -> str:
    storage, key = open_storage(), str(lease.params["storage_key"])
    try:
        with _renewed(lease):
            ingested = _ingest(lease)
        log.info(
            "list_ingested", job_id=str(lease.job_id), items=ingested.items, chunks=ingested.chunks
        )
        how = "done"
    except Interrupted:
        with tenant_scope(lease.tenant_id) as connection:
            ledger.put_back(connection, lease, lease.run_at)
        return "draining"
    except LanewayError as error:
        how = _refuse(lease, error.message)
    except LeaseLost as lost:
        if not lost.cancelled:
            return "lost"
        with tenant_scope(lease.tenant_id) as connection:
            ledger.finish(connection, lease, "cancelled")
        how = "cancelled"
    # Rows and columns are in the ledger now. Should the process die here, the sweep of the storage removes the file.
    storage.delete(key)
    return how


def _ingest(lease: Lease) -> Ingested:
    settings = get_settings()
    settle = SETTLE_SECONDS
    if driven_until.get() is not None:
        settle = min(settle, runtime.seconds_left * SETTLE_PART)
    with (
        open_storage().open(str(lease.params["storage_key"])) as stream,
        tenant_scope(lease.tenant_id) as connection,
    ):
        with pauses_allowed(connection):
            tally, facts = load_list(
                connection,
                stream,
                job_id=lease.job_id,
                email_column=lease.params.get("email_column"),
                leads=_leads(lease),
                limits=ReadLimits.from_settings(settings),
                bad_rows_kept=settings.bad_rows_kept,
                must_go=lambda: runtime.seconds_left < settle,
            )
        # Locks the chunk (chunks before jobs, as everywhere) and sees whether it is still ours and still wanted.
        kept = records.record(connection, lease, [], seconds=settings.lease_seconds)
        if not kept.held or kept.cancel:
            raise LeaseLost(cancelled=kept.held)
        ingested = settle_list(
            connection, lease.job_id, tally, facts, chunk_rows=settings.chunk_rows
        )
        ledger.finish(connection, lease)
        return ingested


def _leads(lease: Lease) -> LeadsWanted | None:
    """Return how the list is to be read, where it is one of leads."""
    said = lease.params
    if "purpose" not in said:
        return None
    return leads_wanted(said.get("named"), said.get("email_column"), said["wanted"])


def _refuse(lease: Lease, message: str) -> str:
    with tenant_scope(lease.tenant_id) as connection:
        kept = records.record(connection, lease, [], seconds=get_settings().lease_seconds)
        if not kept.held:
            return "lost"
        connection.execute(_FAIL, {"job": lease.job_id, "error": message})
        ledger.finish(connection, lease)
    return "refused"


@contextmanager
def _renewed(lease: Lease) -> Iterator[None]:
    """Keep the lease while a long list is read; a thread, because COPY blocks."""
    seconds = get_settings().lease_seconds
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(seconds / 3):
            try:
                with tenant_scope(lease.tenant_id) as connection:
                    # Never waits for the chunk's lock: who holds it has just renewed, or is taking it away.
                    connection.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
                    records.record(connection, lease, [], seconds=seconds)
            except DBAPIError as error:
                log.warning(
                    "lease_not_renewed", chunk_id=lease.chunk_id, error=type(error.orig).__name__
                )

    thread = threading.Thread(target=renew, name="laneway-renew", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
