"""Turn an uploaded file into items and chunks, in one transaction: all of it or nothing.

Rows stream from the file through COPY into the month's partition; memory does not grow with the list. Duplicates are
found by the database afterwards, so that only they cost anything. Bad rows are counted all and kept up to a limit.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO
from uuid import UUID

from psycopg2.errors import QueryCanceled
from sqlalchemy import Connection, text

from app.errors import LanewayError, TooLarge, UnsupportedFile
from app.jobs.submit import cut_chunks
from app.uploads.copy_text import COLUMNS, CopyStream, encode_copy
from app.uploads.limits import ReadLimits
from app.uploads.opening import open_list
from app.uploads.rows import BadRow, LeadBlock

#: Memory for the two passes over the list that find duplicates; with the default they would go through disk.
SORT_MEMORY = "96MB"

_LEAF = text("SELECT items_partition(:job)")
_DUPLICATES = text("""
    INSERT INTO job_duplicates (job_id, item_no, duplicate_of)
    SELECT i.job_id, i.item_no, f.first
    FROM (SELECT email, min(item_no) AS first FROM job_items WHERE job_id = :job GROUP BY email HAVING count(*) > 1) f
    JOIN job_items i ON i.job_id = :job AND i.email = f.email AND i.item_no > f.first
""")
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


def load_list(
    connection: Connection,
    stream: BinaryIO,
    *,
    job_id: UUID,
    email_column: str | None,
    limits: ReadLimits,
    bad_rows_kept: int,
) -> tuple[_Tally, dict[str, object]]:
    """Copy a list's rows into the job's items.

    Returns the tally and what the list looked like (columns, format, encoding). Raises `UnsupportedFile` or `TooLarge`;
    the caller rolls back.
    """
    tally = _Tally()
    with open_list(stream, email_column=email_column, limits=limits) as rows:
        refusals: list[LanewayError] = []

        def counted() -> Iterator[LeadBlock]:
            try:
                for block in rows.blocks():
                    tally.items += len(block.emails)
                    yield block
            except LanewayError as error:
                refusals.append(error)
                raise

        def bounded(pieces: Iterator[bytes]) -> Iterator[bytes]:
            size = 0
            for piece in pieces:
                size += len(piece)
                if size > limits.max_list_bytes:
                    refusals.append(
                        TooLarge(
                            "The list holds too much text. Split it and upload the parts.",
                            reason="too_much_text",
                        )
                    )
                    raise refusals[0]
                yield piece

        def keep(bad: list[BadRow]) -> None:
            tally.bad += len(bad)
            tally.kept.extend(bad[: bad_rows_kept - len(tally.kept)])

        leaf = connection.execute(_LEAF, {"job": job_id}).scalar_one()
        cursor = connection.connection.cursor()
        try:
            cursor.copy_expert(
                f"COPY {leaf} (job_id, {', '.join(COLUMNS)}) FROM STDIN",
                CopyStream(bounded(encode_copy(counted(), before=f"{job_id}\t", on_bad=keep))),
                size=262_144,
            )
        except QueryCanceled:
            # The driver turns whatever reading raises into this; the list's own words say more.
            if refusals:
                raise refusals[0] from None
            raise
        finally:
            cursor.close()
        facts: dict[str, object] = {
            "columns": rows.columns,
            "email_index": rows.email_index,
            "has_header": rows.has_header,
            "format": rows.format,
            "encoding": rows.encoding,
        }
    return tally, facts


def settle_list(
    connection: Connection,
    job_id: UUID,
    tally: _Tally,
    facts: dict[str, object],
    *,
    chunk_rows: int,
) -> Ingested:
    """Find duplicates, keep bad rows, cut the chunks. Raises `UnsupportedFile` when no row is usable."""
    if tally.items == 0:
        first = (
            f" The first: line {tally.kept[0].line_no}, {tally.kept[0].reason}."
            if tally.kept
            else ""
        )
        raise UnsupportedFile(
            f"None of the {tally.bad:,} rows has a usable e-mail address.{first} "
            "Check that the right column is chosen and upload the list again."
        )
    connection.exec_driver_sql(f"SET LOCAL work_mem = '{SORT_MEMORY}'")
    duplicates = connection.execute(_DUPLICATES, {"job": job_id}).rowcount
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
    chunks = cut_chunks(connection, job_id, "verify", tally.items, chunk_rows)
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
