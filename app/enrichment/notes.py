"""What a chunk writes beside its outcomes: every question and its answer, answers to remember, finds to verify next.

Written in the transaction of the outcomes, under the same fence: what a lost lease asked is not written.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

#: How the code of an attempt begins that needs another call; the rest is the provider's next step.
NEXT: Final = "next:"
AttemptOutcome = Literal["found", "miss", "pending", "refused", "error", "skipped"]

_ATTEMPTS = text("SELECT note_lookups(:job, CAST(:rows AS json), :shares)")
#: In one order, so that two chunks with the same leads never wait for each other.
_KEEP = text("""
    INSERT INTO lookup_cache AS c (tenant_id, provider, identity, findings, found_at, expires_at)
    SELECT DISTINCT ON (identity, provider) laneway_tenant(), provider, identity, findings, at, at + make_interval(secs => seconds)
    FROM json_to_recordset(CAST(:rows AS json)) AS t(provider text, identity text, findings jsonb, at timestamptz,
        seconds double precision)
    ORDER BY identity, provider, at DESC
    ON CONFLICT (tenant_id, identity, provider) DO UPDATE
    SET findings = excluded.findings, code = NULL, message = NULL, found_at = excluded.found_at, expires_at = excluded.expires_at
    WHERE c.found_at < excluded.found_at
""")
_FINDS = text("""
    INSERT INTO lookup_finds (job_id, item_no, email, data)
    SELECT :job, item_no, email, data
    FROM json_to_recordset(CAST(:rows AS json)) AS t(item_no integer, email text, data jsonb)
    ON CONFLICT (job_id, item_no) DO NOTHING
""")


@dataclass(slots=True)
class Attempt:
    """One question to one provider. `ms` None: no call was made. `is_late`: what a later call of the provider said.

    `pending` with a `code` that begins with `NEXT` is no answer yet: the provider goes on by what follows.

    Where the answer is to be remembered, `identity` is the question's and `keep_seconds` for how long; `is_shared`: for all
    clients, where the installation says so.
    """

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
    identity: str | None = None
    keep_seconds: float | None = None
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """An answer to remember for `seconds` that came in more than one call, of which an attempt has only its own."""

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
    if attempts := [note for note in notes if isinstance(note, Attempt)]:
        values = {"rows": encode_notes(attempts), "shares": any_shared(attempts)}
        connection.execute(_ATTEMPTS, {"job": job_id, **values})
    if kept := [note for note in notes if isinstance(note, Keep)]:
        connection.execute(_KEEP, {"rows": encode_notes(kept)})
    if finds := [note for note in notes if isinstance(note, Find)]:
        connection.execute(_FINDS, {"job": job_id, "rows": encode_notes(finds)})


def any_shared(attempts: Iterable[Attempt]) -> bool:
    """Tell whether any of these answers is for all clients."""
    return any(attempt.is_shared for attempt in attempts)


def encode_notes(notes: Iterable[Note]) -> str:
    """Return notes of one kind as JSON, a row each; what is not said of one is null."""
    return orjson.dumps(list(notes)).decode()
