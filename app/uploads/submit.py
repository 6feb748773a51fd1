"""From a kept file to a job: what is wrong is said before there is one; then one transaction makes it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection

from app.errors import TooCostly
from app.jobs.submit import add_chunk, create_job
from app.uploads.lead_columns import LeadsWanted
from app.uploads.limits import ReadLimits
from app.uploads.opening import Inspection, inspect
from app.uploads.storage import Storage, StoredFile

JOB_KIND, LEADS_KIND = "email_validation", "batch_lead_enrichment"
_LATER_FIELDS = ("purpose", "columns", "wanted", "min_score", "provider", "cheapest_first")
Purpose = Literal["verify", "enrich", "enrich_verify"]
TITLE_CHARS = 200


@dataclass(frozen=True)
class UploadOrder:
    """What somebody wants done with a list. `email_column` is a name, or a number from 1; None: found.

    With a purpose other than `verify` it is a list of leads: `columns` says which hold what (None: by their names), and
    `wanted`, `min_score`, `provider` and `cheapest_first` what is looked for, and by whom. Of a list to be verified, `provider` is who verifies.
    """

    filename: str
    email_column: str | None = None
    priority: int = 3
    tags: Sequence[str] = ()
    webhook_url: str | None = None
    purpose: Purpose = "verify"
    columns: Mapping[str, str | int] | None = None
    wanted: Sequence[str] = ()
    min_score: int = 0
    provider: str | None = None
    cheapest_first: bool | None = None

    @property
    def leads(self) -> LeadsWanted | None:
        """How the list is to be read, where it is one of leads."""
        if self.purpose == "verify":
            return None
        return leads_wanted(self.columns, self.email_column, self.wanted)

    def digest(self, stored: StoredFile) -> str:
        """Return a hash of the whole request, the file's content included."""
        fields = asdict(self)
        # What is as it was before there was a choice is not said: the same request has the same hash as ever.
        for name in _LATER_FIELDS:
            if fields[name] == getattr(type(self), name):
                del fields[name]
        said = json.dumps({**fields, "sha256": stored.sha256}, sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()


def leads_wanted(
    named: Mapping[str, str | int] | None, email_column: str | None, wanted: Sequence[str]
) -> LeadsWanted:
    """Return how a list of leads is to be read, from what was said of it."""
    return LeadsWanted(named, email_column, companies_suffice="company" in wanted)


def look_into(
    storage: Storage, stored: StoredFile, order: UploadOrder, limits: ReadLimits
) -> Inspection | None:
    """Return what the beginning of the file says, None where finding out is too much work for a request.

    Raises `UnsupportedFile` or `TooLarge`: there will be no job.
    """
    with storage.open(stored.key) as stream:
        try:
            return inspect(
                stream, email_column=order.email_column, leads=order.leads, limits=limits
            )
        except TooCostly:
            return None


def create_upload_job(
    connection: Connection,
    stored: StoredFile,
    found: Inspection | None,
    order: UploadOrder,
    *,
    created_by: UUID | None,
    plan: Mapping[str, Any],
) -> UUID:
    """Make the job with its one parse chunk, inside the tenant's scope; the caller commits.

    `plan` is what the job's params say of how its rows are answered: the verifier, or what is looked for and by whom.
    """
    job_id = create_job(
        connection,
        kind=JOB_KIND if order.leads is None else LEADS_KIND,
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
            **({} if order.leads is None else {"purpose": order.purpose, "named": order.columns}),
            **plan,
        },
        created_by=created_by,
        priority=order.priority,
        tags=order.tags,
        webhook_url=order.webhook_url,
    )
    add_chunk(connection, job_id, "parse")
    return job_id
