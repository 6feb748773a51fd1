"""Writes what a chunk of leads notes: its questions and answers, its finds, and what it waits for."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
from sqlalchemy import Connection

from app.db.scope import statement_cursor
from app.enrichment.late_answers import take_kept
from app.enrichment.notes import Attempt, any_shared, encode_notes, write_notes
from app.enrichment.waits import Over, Wait, add_waits, close_waits, lock_requests
from app.jobs.lease import Lease
from app.jobs.records import Outcome, Recorded, record_values

#: In the driver's own words, as `app.jobs.lease` has its own.
_RECORD = """
    SELECT held, cancel, recorded
    FROM ledger_record_lookups(%s, %s, %s, %s, CAST(%s AS json), CAST(%s AS jsonb), %s, CAST(%s AS json), %s)
"""


def record_with_attempts(
    lease: Lease,
    outcomes: Sequence[Outcome],
    notes: Sequence[Any],
    *,
    seconds: float,
    retries: Mapping[int, tuple[int, float, str]] | None = None,
) -> Recorded | None:
    """Record outcomes and notes in one exchange with the server; None: it is to be said in the usual way.

    So where the notes are not all attempts, and where it failed, which shows an error once it is said again. If nothing but
    the server's reply was lost, attempts are then noted twice, as with any lost commit; outcomes never are.
    """
    attempts = [note for note in notes if isinstance(note, Attempt)]
    if len(attempts) < len(notes):
        return None
    values = (
        str(lease.tenant_id),
        *record_values(lease, outcomes, seconds, retries),
        str(lease.job_id),
        encode_notes(attempts),
        any_shared(attempts),
    )
    try:
        with statement_cursor() as cursor:
            cursor.execute(_RECORD, values)
            held, cancel, recorded = cursor.fetchone()
    except psycopg2.Error:
        return None
    return Recorded(held=held, cancel=bool(cancel), recorded=recorded)


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
