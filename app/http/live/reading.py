"""What streams read: jobs as the API shows them, inside their client's scope. Called in threads of the hub."""

from collections.abc import Collection
from uuid import UUID

from app.db.scope import tenant_scope
from app.http.live.audience import MOST_JOBS
from app.http.models import JobOut
from app.jobs.queries import get_jobs, moving_jobs


def read_jobs(tenant_id: UUID, job_ids: Collection[UUID]) -> list[str]:
    """Return these jobs of the client, oldest first, each as one line of JSON: `JobOut`."""
    if not job_ids:
        return []
    with tenant_scope(tenant_id) as connection:
        found = get_jobs(connection, job_ids)
    return [JobOut.of(job).model_dump_json() for job in sorted(found, key=lambda job: job.id)]


def read_moving(tenant_id: UUID, seconds: float) -> list[UUID]:
    """Return the client's jobs for which rows were recorded in the last seconds."""
    with tenant_scope(tenant_id) as connection:
        return moving_jobs(connection, seconds=seconds, limit=MOST_JOBS)
