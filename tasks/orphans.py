"""Files of the storage that no job needs any more.

A file is deleted when its list has been parsed or refused. What a process left by dying in between is older than a day
and belongs to no open `parse` chunk.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from app.db.scope import tenant_scope
from app.uploads.storage import Storage

AGE = timedelta(days=1)
_NEEDED = text("""
    SELECT EXISTS (
        SELECT 1 FROM jobs j JOIN chunks c ON c.job_id = j.id AND c.kind = 'parse'
        WHERE j.params ->> 'storage_key' = :key AND c.status IN ('ready', 'released', 'running')
          AND j.status IN ('scheduled', 'pending', 'processing', 'retrying', 'waiting'))
""")


def remove_orphans(storage: Storage) -> int:
    """Delete files that are older than a day and needed by nobody; return how many."""
    before = datetime.now(UTC) - AGE
    removed = storage.drop_partial(before)
    for key in list(storage.list_older(before)):
        with tenant_scope(key.split("/", 1)[0]) as connection:
            needed = connection.execute(_NEEDED, {"key": key}).scalar_one()
        if not needed:
            storage.delete(key)
            removed += 1
    return removed
