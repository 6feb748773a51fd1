"""Turn an uploaded file into items and chunks, in one transaction: all of it or nothing.

Rows stream from the file through COPY into the month's partition; memory does not grow with the list. Duplicates are
found by the database afterwards, so that only they cost anything. Bad rows are counted all and kept up to a limit.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from uuid import UUID

from psycopg2.errors import QueryCanceled
from sqlalchemy import Connection, text

from app.errors import LanewayError, TooLarge, UnsupportedFile
from app.jobs.submit import cut_chunks
from app.uploads.copy_text import COLUMNS, CopyStream, encode_copy
from app.uploads.duplicates import find_duplicates
from app.uploads.lead_columns import LeadsWanted
from app.uploads.lead_list import LeadList
from app.uploads.limits import ReadLimits
from app.uploads.opening import open_list
from app.uploads.rows import BadRow, LeadBlock

#: Memory for the two passes over the list that find duplicates; with the default they would go through disk.
SORT_MEMORY = "96MB"

_LEAF = text("SELECT items_partition(:job)")
_BAD_ROWS = text("""
    INSERT INTO job_row_errors (job_id, line_no, reason, excerpt)
    SELECT :job, line_no, reason, excerpt
    FROM unnest(CAST(:lines AS integer[]), CAST(:reasons AS text[]), CAST(:excerpts AS text[])) AS t(line_no, reason, excerpt)
    ON CONFLICT DO NOTHING
""")
_TOTALS = text("""
    UPDATE jobs SET total_items = :items, bad_rows = :bad, duplicate_rows = :duplicates, status = 'processing',
        params = params || CAST(:params AS jsonb), updated_at = clock_timestamp()
    WHERE id = :job AND status NOT IN ('cancelled', 'failed')
""")


class Interrupted(Exception):
    """The process must go: what was read is rolled back, and another worker reads the list again."""


@dataclass(frozen=True)
class Ingested:
    """What a list came to. `items` are rows with a usable address, duplicates among them."""

    items: int
    bad_rows: int
    duplicates: int
    chunks: int


@dataclass
class _Tally:
    items: int = 0
    bad: int = 0
    kept: list[BadRow] = field(default_factory=list)


class _Reading:
    """A list on its way into COPY: counts, keeps bad rows, and stops where it must.

    `refusal` is why it stopped: the driver turns whatever reading raises into an error of its own.
    """

    def __init__(self, limits: ReadLimits, bad_rows_kept: int, must_go: Callable[[], bool]) -> None:
        self.tally = _Tally()
        self.refusal: Exception | None = None
        self._limits = limits
        self._bad_rows_kept = bad_rows_kept
        self._must_go = must_go

    def pieces(self, rows: LeadList, job_id: UUID) -> Iterator[bytes]:
        """Yield the list as COPY text."""
        size = 0
        try:
            for piece in encode_copy(self._blocks(rows), before=f"{job_id}\t", on_bad=self._keep):
                size += len(piece)
                if size > self._limits.max_list_bytes:
                    raise too_much_text()
                yield piece
        except (LanewayError, Interrupted) as error:
            self.refusal = error
            raise

    def _blocks(self, rows: LeadList) -> Iterator[LeadBlock]:
        for block in rows.blocks():
            if self._must_go():
                raise Interrupted
            self.tally.items += len(block.emails)
            yield block

    def _keep(self, bad: list[BadRow]) -> None:
        self.tally.bad += len(bad)
        self.tally.kept.extend(bad[: self._bad_rows_kept - len(self.tally.kept)])


def too_much_text() -> TooLarge:
    """Return the refusal of a list that would fill the database."""
    return TooLarge(
        "The list holds too much text. Split it and upload the parts.", reason="too_much_text"
    )


def _nothing_usable(tally: _Tally, *, is_of_leads: bool) -> UnsupportedFile:
    first = (
        f" The first: line {tally.kept[0].line_no}, {tally.kept[0].reason}." if tally.kept else ""
    )
    what = "says who its lead is" if is_of_leads else "has a usable e-mail address"
    which = "columns are" if is_of_leads else "column is"
    return UnsupportedFile(
        f"None of the {tally.bad:,} rows {what}.{first} "
        f"Check that the right {which} chosen and upload the list again."
    )


def load_list(
    connection: Connection,
    stream: BinaryIO,
    *,
    job_id: UUID,
    email_column: str | None,
    limits: ReadLimits,
    bad_rows_kept: int,
    leads: LeadsWanted | None = None,
    must_go: Callable[[], bool] = lambda: False,
) -> tuple[_Tally, dict[str, Any]]:
    """Copy a list's rows into the job's items; `leads` as `open_list` has it.

    Returns the tally and what the list looked like (columns, format, encoding; of leads `lead_columns`). Raises `UnsupportedFile` or `TooLarge`,
    and `Interrupted` once `must_go` says so; the caller rolls back.
    """
    reading = _Reading(limits, bad_rows_kept, must_go)
    with open_list(stream, email_column=email_column, leads=leads, limits=limits) as rows:
        leaf = connection.execute(_LEAF, {"job": job_id}).scalar_one()
        cursor = connection.connection.cursor()
        try:
            cursor.copy_expert(
                f"COPY {leaf} (job_id, {', '.join(COLUMNS)}) FROM STDIN",
                CopyStream(reading.pieces(rows, job_id)),
                size=262_144,
            )
        except QueryCanceled:
            if reading.refusal is not None:
                raise reading.refusal from None
            raise
        finally:
            cursor.close()
        facts: dict[str, Any] = {
            "columns": rows.columns,
            "email_index": rows.email_index,
            "has_header": rows.has_header,
            "format": rows.format,
            "encoding": rows.encoding,
        }
        if leads is not None:
            # The address stands with the item already, in normal form.
            facts["lead_columns"] = {f: n for f, n in rows.lead_columns.items() if f != "email"}
    return reading.tally, facts


def settle_list(
    connection: Connection,
    job_id: UUID,
    tally: _Tally,
    facts: dict[str, Any],
    *,
    chunk_rows: int,
) -> Ingested:
    """Find duplicates, keep bad rows, cut the chunks: to be verified, or where `facts` are of leads to be enriched.

    Raises `UnsupportedFile` when no row is usable.
    """
    lead_columns = facts.get("lead_columns")
    if tally.items == 0:
        raise _nothing_usable(tally, is_of_leads=lead_columns is not None)
    connection.exec_driver_sql(f"SET LOCAL work_mem = '{SORT_MEMORY}'")
    duplicates = find_duplicates(connection, job_id, lead_columns)
    if tally.kept:
        connection.execute(
            _BAD_ROWS,
            {
                "job": job_id,
                "lines": [row.line_no for row in tally.kept],
                "reasons": [row.reason for row in tally.kept],
                "excerpts": [row.excerpt for row in tally.kept],
            },
        )
    kind = "verify" if lead_columns is None else "enrich"
    chunks = cut_chunks(connection, job_id, kind, tally.items, chunk_rows)
    connection.execute(
        _TOTALS,
        {
            "job": job_id,
            "items": tally.items,
            "bad": tally.bad,
            "duplicates": duplicates,
            "params": json.dumps(facts),
        },
    )
    return Ingested(tally.items, tally.bad, duplicates, chunks)
