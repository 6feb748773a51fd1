"""The names of the queues, and which kind of chunk goes to which.

Nothing else in the code spells a queue's name. `chunk_kinds` in the database holds the same facts for the release
statement, and a test compares the two; another test proves that each queue is consumed by a line of Procfile.worker.
"""

from dataclasses import dataclass

#: Uploaded lists of ALL clients are parsed here.
INGEST = "enrichment-job-creation"
#: Verification for clients without a lane of their own.
VERIFICATION = "verification-queue"
#: Look-ups of leads, for all clients: their keys differ, not their queues.
ENRICHMENT = "enrichment"
#: Housekeeping that Beat asks for.
MAINTENANCE = "maintenance"
#: A client's own lane: `verification-queue:client-acme`.
DEDICATED_PREFIX = f"{VERIFICATION}:"


@dataclass(frozen=True)
class Kind:
    """A kind of chunk: the task that runs it, its queue, and whether a tenant's lane takes precedence."""

    name: str
    task: str
    base_queue: str
    per_tenant: bool


KINDS = {
    kind.name: kind
    for kind in (
        Kind("parse", "tasks.uploads.parse_upload", INGEST, per_tenant=False),
        Kind("act", "tasks.acts.act_on_jobs", MAINTENANCE, per_tenant=False),
        Kind("enrich", "tasks.enrichment.enrich_chunk", ENRICHMENT, per_tenant=False),
        Kind("verify", "tasks.verification.verify_chunk", VERIFICATION, per_tenant=True),
    )
}
BY_TASK = {kind.task: kind for kind in KINDS.values()}
