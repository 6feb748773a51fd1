"""The rows of a job with their answers, page by page in the order of the file. Read inside a tenant's scope."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

#: A search reads rows until it has a page; in a list of a million it may find none.
_SEARCH_TIMEOUT = text("SET LOCAL statement_timeout = '10s'")
_FIELDS = """
    i.item_no, i.line_no, i.email, r.verdict, r.code, r.message, r.mx, r.provider, r.checked_at,
    coalesce(r.is_failure, false) AS failed, d.duplicate_of, i.lead ->> 'ref' AS lead_id, r.data,
    CASE WHEN i.email = '' THEN coalesce(i.lead, i.cells) END AS known
"""
#: Any part of the address, or of the one that was found; of a lead without an address, of what its row says.
_MATCHES = """(CAST(:pattern AS text) IS NULL OR i.email ILIKE :pattern OR r.data #>> '{fields,email,value}' ILIKE :pattern
        OR i.email = '' AND coalesce(i.lead, i.cells)::text ILIKE :pattern)"""
#: The lower bound stands on both sides of each join: PostgreSQL carries equations across a join, not inequalities.
_BY_ITEM = text(f"""
    SELECT {_FIELDS} FROM job_items i
    LEFT JOIN job_results r ON r.job_id = i.job_id AND r.item_no = i.item_no AND r.item_no > :after
    LEFT JOIN job_duplicates d ON d.job_id = i.job_id AND d.item_no = i.item_no AND d.item_no > :after
    WHERE i.job_id = :job AND i.item_no > :after AND {_MATCHES}
    ORDER BY i.item_no LIMIT :n
""")  # noqa: S608 - constants only
_BY_VERDICT = text(f"""
    SELECT {_FIELDS} FROM job_results r
    JOIN job_items i ON i.job_id = r.job_id AND i.item_no = r.item_no AND i.item_no > :after
    LEFT JOIN job_duplicates d ON d.job_id = r.job_id AND d.item_no = r.item_no AND d.item_no > :after
    WHERE r.job_id = :job AND r.verdict = :verdict AND r.item_no > :after
      AND {_MATCHES}
    ORDER BY r.item_no LIMIT :n
""")  # noqa: S608 - constants only
_ERRORS = text("""
    SELECT line_no, reason, excerpt FROM job_row_errors WHERE job_id = :job ORDER BY line_no LIMIT 1000
""")


@dataclass(frozen=True)
class ResultRow:
    """One row of a list with its answer; `verdict` None: not answered yet."""

    item_no: int
    line_no: int
    email: str
    verdict: str | None
    code: str | None
    message: str | None
    mx: str | None
    provider: str | None
    checked_at: datetime | None
    failed: bool
    duplicate_of: int | None
    #: The caller's own id of a lead that came through the API.
    lead_id: str | None
    #: What was found of a lead: `app.enrichment.course.Course.data`.
    data: Mapping[str, Any] | None
    #: What is known of a lead without an e-mail: its fields, or the cells of its row.
    known: Mapping[str, str] | Sequence[str] | None


@dataclass(frozen=True)
class RowError:
    """A row that could not be used, with its line in the file."""

    line_no: int
    reason: str
    excerpt: str


def list_results(
    connection: Connection,
    job_id: UUID,
    *,
    limit: int,
    after: int = 0,
    verdict: str | None = None,
    search: str | None = None,
) -> list[ResultRow]:
    """Return up to `limit` rows with item numbers above `after`; `search` is any part of the address, or of what is known of a
    lead without one."""
    values: dict[str, Any] = {"job": job_id, "after": after, "n": limit, "pattern": None}
    if search:
        if "\0" in search:
            return []  # PostgreSQL has no such text, so no address has it
        connection.execute(_SEARCH_TIMEOUT)
        values["pattern"] = f"%{_escape(search)}%"
    if verdict:
        return [_row(r) for r in connection.execute(_BY_VERDICT, {**values, "verdict": verdict})]
    return [_row(r) for r in connection.execute(_BY_ITEM, values)]


def list_errors(connection: Connection, job_id: UUID) -> list[RowError]:
    """Return the bad rows that were kept, in the order of the file."""
    return [
        RowError(r.line_no, r.reason, r.excerpt)
        for r in connection.execute(_ERRORS, {"job": job_id})
    ]


def _escape(text_: str) -> str:
    """Return the text for LIKE, where it stands for itself."""
    return text_.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _row(row: Row[Any]) -> ResultRow:
    return ResultRow(**row._mapping)
