"""The clients of a benchmark: tenants, their keys, and jobs put into the ledger as the web puts them there."""

from pathlib import Path
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import text

from app.accounts.tenants import create_tenant
from app.clients.keys import NewKey, add_key
from app.db.scope import tenant_scope
from app.jobs.ids import new_job_id
from app.jobs.submit import create_job, cut_chunks
from app.settings import get_settings
from app.uploads.limits import ReadLimits
from app.uploads.storage import LocalStorage
from app.uploads.submit import UploadOrder, create_upload_job, look_into
from bench.installation import Installation

_LEAF = text("SELECT items_partition(:job)")
_FILL = """
    INSERT INTO {leaf} (job_id, item_no, line_no, email, cells)
    SELECT :job, n, n + 1, :prefix || n || '@company' || n % 5000 || '.com', '[]' FROM generate_series(1, :rows) AS n
"""
_TOTAL = text("UPDATE jobs SET total_items = :rows, status = 'processing' WHERE id = :job")
_STATUS = text("SELECT status, done_items FROM jobs WHERE id = :job")

_PERSON = text("""
    INSERT INTO users (tenant_id, email, role, password_hash)
    SELECT id, 'lead@' || slug || '.example', 'member', 'x' FROM tenants WHERE id = :tenant RETURNING id
""")
_ROUTE = text("""
    INSERT INTO worker_configs (user_id, worker_mode, verification_queue, api_key_hint, notes, is_active)
    VALUES (:user, 'dedicated', :queue, 'x789', 'a client of the benchmark', true)
""")


def add_client(installation: Installation, slug: str) -> UUID:
    """Add a tenant; return its id."""
    with installation.owner.begin() as connection:
        return create_tenant(connection, slug.title(), slug)


def add_provider_key(
    installation: Installation,
    secret: str,
    *,
    tenant_id: UUID | None = None,
    spacing_ms: int = 0,
    per_30s: int | None = None,
    provider: str = "mailtester",
) -> None:
    """Give a client (None: the platform) a key that the sandbox knows with the same limits; by default none."""
    windows = [] if per_30s is None else [[per_30s, 30_000]]
    installation.sandbox.put_keys({"key": secret, "spacing_ms": spacing_ms, "windows": windows})
    with installation.owner.begin() as connection:
        add_key(
            connection,
            tenant_id,
            NewKey(
                SecretStr(secret),
                provider=provider,
                spacing_ms=spacing_ms,
                per_30s=per_30s,
                daily_limit=None,
            ),
        )


def route_client(installation: Installation, tenant_id: UUID, queue: str) -> UUID:
    """Put a client on a lane of its own as the onboarding guide does; return the person that its row names."""
    with installation.owner.begin() as connection:
        user = UUID(str(connection.execute(_PERSON, {"tenant": tenant_id}).scalar_one()))
        connection.execute(_ROUTE, {"user": user, "queue": queue})
    return user


def submit_file(installation: Installation, tenant_id: UUID, path: Path) -> UUID:
    """Store a list and make its job, as an upload does; return the job's id. Nothing is released yet."""
    settings = get_settings()
    storage, order = LocalStorage(settings.storage_path), UploadOrder(path.name)
    with path.open("rb") as stream:
        stored = storage.put(str(tenant_id), path.name, stream, max_bytes=settings.upload_max_bytes)
    found = look_into(storage, stored, order, ReadLimits.from_settings(settings))
    with tenant_scope(tenant_id, installation.app) as connection:
        return create_upload_job(connection, stored, found, order, created_by=None, plan={})


def submit_rows(
    installation: Installation, tenant_id: UUID, rows: int, prefix: str = "lead", priority: int = 3
) -> UUID:
    """Make a job of `rows` addresses that are parsed already, cut into chunks as parsing does; return its id."""
    job = new_job_id()
    with tenant_scope(tenant_id, installation.app) as connection:
        create_job(
            connection,
            kind="email_validation",
            title=prefix,
            params={},
            job_id=job,
            priority=priority,
        )
        leaf = connection.execute(_LEAF, {"job": job}).scalar_one()
        values = {"job": job, "rows": rows, "prefix": prefix}
        connection.execute(text(_FILL.format(leaf=leaf)), values)
        connection.execute(_TOTAL, values)
        cut_chunks(connection, job, "verify", rows, get_settings().chunk_rows)
    return job


def is_completed(installation: Installation, job_id: UUID) -> bool:
    """Say whether a job has ended well. Raises `RuntimeError` when it failed."""
    with installation.owner.connect() as connection:
        status = connection.execute(_STATUS, {"job": job_id}).one().status
    if status in ("failed", "cancelled", "dead_letter"):
        raise RuntimeError(f"The job {job_id} is {status}; see the workers' logs.")
    return bool(status == "completed")
