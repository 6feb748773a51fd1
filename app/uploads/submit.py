"""From a kept file to a job: what is wrong is said before there is one; then one transaction makes it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import Connection

from app.errors import TooCostly
from app.jobs.submit import add_chunk, create_job
from app.uploads.limits import ReadLimits
from app.uploads.opening import Inspection, inspect
from app.uploads.storage import Storage, StoredFile

JOB_KIND = "email_validation"
TITLE_CHARS = 200


@dataclass(frozen=True)
class UploadOrder:
    """What somebody wants done with a list. `email_column` is a name, or a number from 1; None: found."""

    filename: str
    email_column: str | None = None
    priority: int = 3
    tags: Sequence[str] = ()
    webhook_url: str | None = None

    def digest(self, stored: StoredFile) -> str:
        """Return a hash of the whole request, the file's content included."""
        said = json.dumps({**asdict(self), "sha256": stored.sha256}, sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()


def look_into(
    storage: Storage, stored: StoredFile, order: UploadOrder, limits: ReadLimits
) -> Inspection | None:
    """Return what the beginning of the file says, None where finding out is too much work for a request.

    Raises `UnsupportedFile` or `TooLarge`: there will be no job.
    """
    with storage.open(stored.key) as stream:
        try:
            return inspect(stream, email_column=order.email_column, limits=limits)
        except TooCostly:
            return None


def create_upload_job(
    connection: Connection,
    stored: StoredFile,
    found: Inspection | None,
    order: UploadOrder,
    created_by: UUID | None,
) -> UUID:
    """Make the job with its one parse chunk, inside the tenant's scope; the caller commits."""
    job_id = create_job(
        connection,
        kind=JOB_KIND,
        title=order.filename[:TITLE_CHARS],
        params={
            "storage_key": stored.key,
            "filename": order.filename,
            "size": stored.size,
            "sha256": stored.sha256,
            "email_column": order.email_column,
            # Parsing judges again, over the whole file; until then the page can show these.
            "columns": found.columns if found else [],
            "format": found.format if found else "xlsx",
        },
        created_by=created_by,
        priority=order.priority,
        tags=order.tags,
        webhook_url=order.webhook_url,
    )
    add_chunk(connection, job_id, "parse")
    return job_id
