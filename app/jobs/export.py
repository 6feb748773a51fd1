"""A job's rows as CSV, with the columns of the uploaded list first and the answers behind them.

Of leads that were looked up, each field that was wanted follows with its value, provider, score and time.

Rows are read in pages, each in a transaction of its own, and written out as they come: memory does not grow with the
list, and a slow reader holds neither a connection nor a snapshot of the database. Results are insert-only, so pages read
at different moments agree.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from app.jobs.queries import JobView

PAGE_ROWS = 2_000
ANSWER_COLUMNS = (
    "laneway_verdict",
    "laneway_message",
    "laneway_mx",
    "laneway_checked_at",
    "laneway_provider",
)
#: Kind of what is wanted -> the fields that may be found of it, in the order of their columns.
FOUND_FIELDS: Mapping[str, tuple[str, ...]] = {
    "email": ("email",),
    "phone": ("phone", "company_phone"),
    "person": ("first_name", "last_name", "full_name", "position", "location"),
    "company": (
        *("company", "domain", "company_industry", "company_size", "company_country"),
        "company_linkedin_url",
    ),
    "social": ("linkedin_url", "twitter_url", "github_url", "facebook_url"),
}
#: A time in the file, whichever column: ISO 8601 in UTC, to the second.
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_PARTS = (("", "value"), ("_provider", "provider"), ("_score", "score"), ("_at", "found_at"))
#: How a cell begins that a spreadsheet would run (OWASP, "CSV injection"); the full-width forms count as the plain ones.
_FORMULA_STARTS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
#: What may stand unseen in front of it: some programs take it away before they look.
_UNSEEN = " \u00a0\u200b\u2060\u3000\ufeff"
#: A signed number or a telephone number in digits runs nothing, and people want it as it was.
_NUMBER = re.compile(r"[+-]\d+(?:[.,]\d+)*")
_SELECT = r"""i.item_no, i.email, i.cells, i.lead ->> 'ref' AS ref, r.data, r.verdict, r.message, r.mx,
    to_char(r.checked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24\:MI\:SS"Z"') AS checked_at, r.provider"""
#: The lower bound stands on both sides of each join: PostgreSQL carries equations across a join, not inequalities.
_ALL = text(f"""
    SELECT {_SELECT} FROM job_items i LEFT JOIN job_results r ON r.job_id = i.job_id AND r.item_no = i.item_no AND r.item_no > :after
    WHERE i.job_id = :job AND i.item_no > :after ORDER BY i.item_no LIMIT :n
""")  # noqa: S608 - constants only
_ONE_VERDICT = text(f"""
    SELECT {_SELECT} FROM job_results r JOIN job_items i ON i.job_id = r.job_id AND i.item_no = r.item_no AND i.item_no > :after
    WHERE r.job_id = :job AND r.verdict = :verdict AND r.item_no > :after ORDER BY r.item_no LIMIT :n
""")  # noqa: S608 - constants only
OpenScope = Callable[[], AbstractContextManager[Connection]]


def neutralise(cell: object) -> str:
    """Return the cell's text, with a quote in front where a spreadsheet would take it for a formula.

    Only the beginning of a cell is looked at. Where semicolons part cells, a spreadsheet that opens the file without
    being told of the commas would also begin a cell behind `;` and, since it then takes no notice of our quotation marks,
    behind a line end. Quotes there would have to go into every `; -` and every list with dashes that people keep in
    their notes, which is most of what they would hit; and a quote behind `;` alone would leave the line ends open.
    """
    text_ = cell if isinstance(cell, str) else "" if cell is None else str(cell)
    seen = text_.strip(_UNSEEN) if text_[:1] in _UNSEEN else text_
    if seen[:1] in _FORMULA_STARTS and not _NUMBER.fullmatch(seen):
        return f"'{text_}"
    return text_


def stream_csv(open_scope: OpenScope, job: JobView, verdict: str | None = None) -> Iterator[str]:
    """Yield the file in pieces of a page each; `open_scope` opens a transaction of the job's tenant."""
    wanted = job.params.get("wanted")
    usual = ("email",) if wanted is None else ("lead_id", "email")
    columns = [str(name) for name in job.params.get("columns") or usual]
    fields = found_fields(wanted or ())
    found = [f"found_{field}{suffix}" for field in fields for suffix, _ in _PARTS]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([neutralise(name) for name in (*columns, *ANSWER_COLUMNS, *found)])
    # Spreadsheets take UTF-8 for the system's encoding unless the file says so.
    yield "\ufeff" + _take(buffer)
    after = 0
    while rows := _read_page(open_scope, job.id, verdict, after):
        writer.writerows(_cells(row, len(columns), fields) for row in rows)
        after = rows[-1].item_no
        yield _take(buffer)


def _read_page(
    open_scope: OpenScope, job_id: UUID, verdict: str | None, after: int
) -> Sequence[Row[Any]]:
    values = {"job": job_id, "verdict": verdict, "after": after, "n": PAGE_ROWS}
    with open_scope() as connection:
        return connection.execute(_ONE_VERDICT if verdict else _ALL, values).all()


def found_fields(wanted: Iterable[str]) -> list[str]:
    """Return the fields that may be found of these kinds, in the order of their columns."""
    kinds = set(wanted)
    return [field for kind, fields in FOUND_FIELDS.items() if kind in kinds for field in fields]


def _cells(row: Row[Any], width: int, fields: Sequence[str]) -> list[str]:
    _, email, cells, ref, data, *answers = tuple(row)
    original = cells or [ref, email][-width:]
    if len(original) != width:
        original = [*original, *[""] * (width - len(original))][:width]
    found = data["fields"] if data else {}
    parts = [_part(found.get(field, {}), part) for field in fields for _, part in _PARTS]
    return [neutralise(cell) for cell in (*original, *answers, *parts)]


def _part(told: Mapping[str, Any], part: str) -> Any:
    """Return one part of what was found of a field; its time in the form of the file's other times."""
    value = told.get(part)
    if part != "found_at" or value is None:
        return value
    return datetime.fromisoformat(value).astimezone(UTC).strftime(_TIME)


def _take(buffer: io.StringIO) -> str:
    piece = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return piece
