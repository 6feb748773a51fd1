"""What a chunk writes beside its outcomes: every question and its answer, answers to remember, finds to verify next.

Written in the transaction of the outcomes, under the same fence: what a lost lease asked is not written.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, text

AttemptOutcome = Literal["found", "miss", "pending", "refused", "error", "skipped"]

_ATTEMPTS = text("""
    INSERT INTO lookup_attempts (job_id, item_no, provider, outcome, code, message, is_cached, is_late, ms, credits, findings, at)
    SELECT :job, item_no, provider, outcome, code, message, is_cached, is_late, ms, credits, nullif(findings, 'null'), at
    FROM json_to_recordset(CAST(:rows AS json)) AS t(item_no integer, provider text, outcome text, code text, message text,
        is_cached boolean, is_late boolean, ms integer, credits real, findings jsonb, at timestamptz)
""")
#: In one order, so that two chunks with the same leads never wait for each other.
_KEEP = text("""
    INSERT INTO lookup_cache AS c (tenant_id, provider, identity, findings, found_at, expires_at)
    SELECT DISTINCT ON (identity, provider) laneway_tenant(), provider, identity, findings, at, at + make_interval(secs => seconds)
    FROM json_to_recordset(CAST(:rows AS json)) AS t(provider text, identity text, findings jsonb, at timestamptz,
        seconds double precision)
    ORDER BY identity, provider, at DESC
    ON CONFLICT (tenant_id, identity, provider) DO UPDATE
    SET findings = excluded.findings, found_at = excluded.found_at, expires_at = excluded.expires_at
    WHERE c.found_at < excluded.found_at
""")
_FINDS = text("""
    INSERT INTO lookup_finds (job_id, item_no, email, data)
    SELECT :job, item_no, email, data
    FROM json_to_recordset(CAST(:rows AS json)) AS t(item_no integer, email text, data jsonb)
    ON CONFLICT (job_id, item_no) DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One question to one provider. `ms` None: no call was made. `is_late`: what a later call of the provider said."""

    item_no: int
    provider: str
    outcome: AttemptOutcome
    at: datetime
    code: str | None = None
    message: str | None = None
    is_cached: bool = False
    ms: int | None = None
    credits: float | None = None
    findings: Mapping[str, Any] | None = None
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """An answer to remember for `seconds`."""

    provider: str
    identity: str
    findings: Mapping[str, Any]
    at: datetime
    seconds: float


@dataclass(frozen=True, slots=True)
class Find:
    """A lead whose e-mail is to be verified next, with what was found of it."""

    item_no: int
    email: str
    data: Mapping[str, Any]


Note = Attempt | Keep | Find


def write_notes(connection: Connection, job_id: UUID, notes: Sequence[object]) -> None:
    """Write those of the notes that are of these kinds, inside the scope of the job's tenant."""
    job = {"job": job_id}
    for kind, statement in ((Attempt, _ATTEMPTS), (Keep, _KEEP), (Find, _FINDS)):
        rows = [_fields(note) for note in notes if isinstance(note, kind)]
        if rows:
            connection.execute(statement, {**job, "rows": json.dumps(rows, default=_plain)})


def _fields(note: Note) -> dict[str, Any]:
    return {name: getattr(note, name) for name in type(note).__slots__}


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
