"""Rows for tests, on the real database of the module's environment: tenants, people, jobs in any state.

What exists goes through the product's own functions, so that a row here is a row as the product makes it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from app.accounts.passwords import hash_password
from app.accounts.users import Role
from app.db.engine import owner_engine
from app.db.scope import tenant_scope
from app.jobs import lease as ledger
from app.jobs import records
from app.jobs.lease import Lease
from app.jobs.records import Outcome
from app.jobs.submit import create_job, cut_chunks

PASSWORD = "correct horse battery"
_numbers = count(1)


@dataclass(frozen=True)
class Tenant:
    id: UUID
    slug: str


@dataclass(frozen=True)
class Person:
    id: UUID
    email: str
    tenant: Tenant | None
    password: str = PASSWORD


@lru_cache
def _hash() -> str:
    """The hash of PASSWORD, made once: argon2 is meant to be slow."""
    return hash_password(PASSWORD)


def owner_sql(statement: str, values: Mapping[str, Any] | None = None) -> Any:
    """Run a statement as the schema's owner; return the first value of the first row, if there is one."""
    with owner_engine().begin() as connection:
        result = connection.execute(text(statement), values or {})
        return result.scalar() if result.returns_rows else None


def make_tenant(slug: str | None = None, *, weight: int = 1) -> Tenant:
    slug = slug or f"client-{next(_numbers)}"
    values = {"slug": slug, "weight": weight}
    statement = "INSERT INTO tenants (slug, name, weight) VALUES (:slug, initcap(:slug), :weight) RETURNING id"
    return Tenant(owner_sql(statement, values), slug)


def make_person(
    tenant: Tenant | None = None, role: Role = "member", email: str | None = None
) -> Person:
    email = email or f"person-{next(_numbers)}@example.com"
    values = {"tenant": tenant and tenant.id, "email": email, "role": role, "hash": _hash()}
    statement = """INSERT INTO users (tenant_id, email, role, password_hash)
        VALUES (:tenant, :email, :role, :hash) RETURNING id"""
    return Person(owner_sql(statement, values), email, tenant)


def make_lane(person: Person, queue: str) -> None:
    """Give a person's client a lane of its own."""
    owner_sql(
        """INSERT INTO worker_configs (user_id, worker_mode, verification_queue, is_active)
           VALUES (:user, 'dedicated', :queue, true)""",
        {"user": person.id, "queue": queue},
    )


def make_worker(*queues: str, slots: int = 8, rows_per_second: float = 0.0) -> UUID:
    """Make a live worker; it stays seen for long enough for a test."""
    worker = uuid4()
    owner_sql(
        """INSERT INTO workers (id, name, hostname, pid, queues, slots, rows_per_second, last_seen)
           VALUES (:id, 'test', 'host', 1, :queues, :slots, :rate, clock_timestamp() + interval '1 hour')""",
        {"id": worker, "queues": list(queues), "slots": slots, "rate": rows_per_second},
    )
    return worker


def make_job(
    tenant: Tenant,
    emails: Sequence[str] | int = 3,
    *,
    created_by: Person | None = None,
    cells: Sequence[Sequence[str]] | None = None,
    columns: Sequence[str] = ("email",),
    duplicates: Mapping[int, int] | None = None,
    bad_rows: Sequence[tuple[int, str]] = (),
    chunk_rows: int = 100,
    title: str = "leads.csv",
) -> UUID:
    """Make a parsed job with ready chunks; `emails` are addresses or how many to make up."""
    if isinstance(emails, int):
        emails = [f"lead{n}@example.com" for n in range(1, emails + 1)]
    cells = cells or [[email] for email in emails]
    params = {"columns": list(columns)}
    with tenant_scope(tenant.id) as c:
        job = create_job(
            c,
            kind="email_validation",
            title=title,
            params=params,
            created_by=created_by and created_by.id,
        )
        leaf = c.execute(text("SELECT items_partition(:j)"), {"j": job}).scalar_one()
        insert = text(
            f"INSERT INTO {leaf} (job_id, item_no, line_no, email, cells) VALUES (:job, :n, :line, :email, CAST(:cells AS jsonb))"
        )
        for n, (email, row) in enumerate(zip(emails, cells, strict=True), start=1):
            values = {
                "job": job,
                "n": n,
                "line": n + 1,
                "email": email,
                "cells": json.dumps(list(row)),
            }
            c.execute(insert, values)
        for item, first in (duplicates or {}).items():
            c.execute(
                text(
                    "INSERT INTO job_duplicates (job_id, item_no, duplicate_of) VALUES (:j, :i, :f)"
                ),
                {"j": job, "i": item, "f": first},
            )
        for line, reason in bad_rows:
            c.execute(
                text(
                    "INSERT INTO job_row_errors (job_id, line_no, reason, excerpt) VALUES (:j, :l, :r, 'x')"
                ),
                {"j": job, "l": line, "r": reason},
            )
        c.execute(
            text(
                "UPDATE jobs SET total_items = :n, bad_rows = :b, duplicate_rows = :d WHERE id = :j"
            ),
            {"n": len(emails), "b": len(bad_rows), "d": len(duplicates or {}), "j": job},
        )
        cut_chunks(c, job, "verify", len(emails), chunk_rows)
    return job


def lease_chunk(tenant: Tenant, job: UUID, *, queue: str = "verification-queue") -> Lease:
    """Lease the job's first ready chunk, as a worker would."""
    with tenant_scope(tenant.id) as c:
        row = c.execute(
            text("""UPDATE chunks SET status = 'released', queue = :q, released_at = clock_timestamp()
                WHERE id = (SELECT id FROM chunks WHERE job_id = :j AND status = 'ready' ORDER BY id LIMIT 1)
                RETURNING id, fence"""),
            {"j": job, "q": queue},
        ).one()
        lease = ledger.take(c, row.id, row.fence, worker=uuid4(), seconds=600)
    assert lease is not None
    return lease


def record(
    tenant: Tenant, lease: Lease, answers: Mapping[int, str], *, failures: Sequence[int] = ()
) -> None:
    """Record verdicts by item number; the items in `failures` got none from the provider."""
    outcomes = [
        Outcome(
            item_no=item,
            verdict=verdict,
            code="ok",
            message="Accepted",
            mx="mx.example.com",
            provider="mailtester",
            checked_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            is_failure=item in failures,
        )
        for item, verdict in answers.items()
    ]
    with tenant_scope(tenant.id) as c:
        assert records.record(c, lease, outcomes, seconds=600).held


def finish(tenant: Tenant, lease: Lease) -> None:
    with tenant_scope(tenant.id) as c:
        assert ledger.finish(c, lease)
