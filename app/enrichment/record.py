"""Writes what a chunk of leads notes: its questions and answers, its finds, and what it waits for."""

from collections.abc import Sequence

from sqlalchemy import Connection

from app.enrichment.late_answers import take_kept
from app.enrichment.notes import write_notes
from app.enrichment.waits import Over, Wait, add_waits, close_waits, lock_requests
from app.jobs.lease import Lease


def write_record(connection: Connection, lease: Lease, notes: Sequence[object]) -> None:
    """Write the notes of a chunk that is held, in the transaction of its outcomes."""
    waits = [note for note in notes if isinstance(note, Wait)]
    # First, so that an answer that comes now waits for the whole record, or was kept and is seen here.
    if waits:
        lock_requests(connection, (wait.request for wait in waits))
    write_notes(connection, lease.job_id, notes)
    if waits:
        add_waits(connection, lease.job_id, waits)
        take_kept(connection, lease.job_id, waits)
    if over := [note for note in notes if isinstance(note, Over)]:
        close_waits(connection, lease.job_id, over)
