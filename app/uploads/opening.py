"""Opening a lead list: what the file is, how it is written, which columns it has.

`inspect` looks at the beginning only, so that a request can refuse a file before a job exists;
`open_list` reads the whole. Both judge by the same rules. The file's content can make them raise
`UnsupportedFile` and `TooLarge`, nothing else.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from app.uploads.charset import decode, detect_charset, first_non_ascii
from app.uploads.csv_list import read_text
from app.uploads.delimiter import FORMATS, detect_delimiter, has_hint
from app.uploads.formats import HEAD_BYTES, detect_container, not_a_table
from app.uploads.header import SAMPLE_ROWS, Header, find_header, no_rows
from app.uploads.lead_columns import LeadsWanted, suggest
from app.uploads.lead_header import find_lead_header
from app.uploads.lead_list import LeadList, OpenedFile
from app.uploads.limits import ReadLimits
from app.uploads.people_list import PeopleList
from app.uploads.rows import RawBlock
from app.uploads.xlsx_list import read_workbook

_PREVIEW_ROWS = 20
#: A request waits while a workbook is looked into.
_INSPECT_CPU_SECONDS = 1.0
#: A list whose first ten thousand lines are blank or broken is not a list.
_SAMPLE_BLOCKS = 20


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the beginning of a file says about it; `sample_rows` are up to 20 rows of data.

    `email_index` -1: no column holds addresses. `lead_columns` is field -> index of the columns that say who a lead is: as
    they were named, else as they seem to be.
    """

    format: str
    encoding: str | None
    delimiter: str | None
    columns: list[str]
    email_index: int
    has_header: bool
    sample_rows: list[list[str]]
    lead_columns: dict[str, int]


def open_list(
    source: Path | BinaryIO,
    *,
    email_column: str | None = None,
    leads: LeadsWanted | None = None,
    limits: ReadLimits | None = None,
) -> LeadList:
    """Open a list for reading; `source` is a path or a seekable binary stream, closed with the list.

    `email_column` is a column's name, or its number from 1; None: found by name or content. `leads` makes it a list of
    leads, with or without addresses, and names its columns. Raises `UnsupportedFile`, whose `extra["reason"]` tells the
    cases apart.
    """
    limits = limits or ReadLimits()
    stream = source.open("rb") if isinstance(source, Path) else source
    try:
        opened = _open(stream, email_column, limits, leads, whole=True)
        if leads is not None:
            return PeopleList(stream, opened, limits, leads)
        return LeadList(stream, opened, limits)
    except BaseException:
        stream.close()
        raise


def inspect(
    source: Path | BinaryIO,
    *,
    email_column: str | None = None,
    leads: LeadsWanted | None = None,
    limits: ReadLimits | None = None,
) -> Inspection:
    """Return what the first 256 KB (of a workbook: the first rows) tell; raises as `open_list` does.

    Raises `TooCostly` for a workbook whose first rows lie behind more than a second of work; it may be sound.
    A stream is left open, at any position.
    """
    if isinstance(source, Path):
        with source.open("rb") as stream:
            return inspect(stream, email_column=email_column, leads=leads, limits=limits)
    limits = limits or ReadLimits()
    limits = replace(limits, max_cpu_seconds=min(limits.max_cpu_seconds, _INSPECT_CPU_SECONDS))
    opened = _open(source, email_column, limits, leads, whole=False)
    header = opened.header
    rows = list(islice((row for block in opened.blocks for row in block.cells), _PREVIEW_ROWS))
    width = len(header.columns)
    return Inspection(
        format=opened.format,
        encoding=opened.encoding,
        delimiter=opened.delimiter,
        columns=header.columns,
        email_index=header.email_index,
        has_header=header.has_header,
        sample_rows=[row + [""] * (width - len(row)) for row in rows],
        lead_columns=dict(header.lead_columns) if leads is not None else _lead_columns(header),
    )


def _lead_columns(header: Header) -> dict[str, int]:
    """Return what the columns of a list of addresses seem to be, for who would rather have it enriched."""
    return {**(suggest(header.columns) if header.has_header else {}), "email": header.email_index}


def _open(
    stream: BinaryIO,
    email_column: str | None,
    limits: ReadLimits,
    leads: LeadsWanted | None,
    *,
    whole: bool,
) -> OpenedFile:
    stream.seek(0)
    head = stream.read(HEAD_BYTES)
    if detect_container(head) == "xlsx":
        name, encoding, delimiter = "xlsx", None, None
        blocks = read_workbook(stream, limits)
    else:
        encoding = _find_encoding(stream, head, whole=whole)
        text = decode(head, encoding)
        delimiter = detect_delimiter(text)
        name = FORMATS[delimiter]
        stream.seek(0)
        blocks = read_text(stream if whole else io.BytesIO(head), encoding, delimiter, limits)
        if has_hint(text):
            blocks = _drop_first_line(blocks)
    sample = _read_sample(blocks)
    cut_off = not whole and len(head) == HEAD_BYTES
    if cut_off and 1 < len(sample.cells) < SAMPLE_ROWS:
        sample.cells.pop()
        sample.line_nos.pop()
    if sample.bad and not sample.cells:
        raise not_a_table(f"not readable row by row ({sample.bad[0].reason})")
    if leads is None:
        header = find_header(sample.cells, email_column, limits.max_columns)
    else:
        header = find_lead_header(sample.cells, leads, limits.max_columns)
    del sample.cells[: header.first_row], sample.line_nos[: header.first_row]
    if not sample.cells and not sample.bad and not cut_off:
        raise no_rows()
    return OpenedFile(name, encoding, delimiter, header, chain([sample], blocks))


def _find_encoding(stream: BinaryIO, head: bytes, *, whole: bool) -> str:
    """Return the encoding; a long ASCII beginning says nothing about the names further down."""
    encoding = detect_charset(head)
    if whole and encoding == "utf-8" and head.isascii() and (telling := first_non_ascii(stream)):
        return detect_charset(telling, at_start=False)
    return encoding


def _read_sample(blocks: Iterator[RawBlock]) -> RawBlock:
    """Return the first rows with content as one block, enough of them to judge the columns by."""
    sample = RawBlock()
    for block in islice(blocks, _SAMPLE_BLOCKS):
        for line_no, cells in zip(block.line_nos, block.cells, strict=True):
            if any(map(str.strip, cells)):
                sample.line_nos.append(line_no)
                sample.cells.append(cells)
        sample.bad += block.bad
        if len(sample.cells) >= SAMPLE_ROWS:
            break
    return sample


def _drop_first_line(blocks: Iterator[RawBlock]) -> Iterator[RawBlock]:
    first = next(blocks)
    del first.cells[:1], first.line_nos[:1]
    return chain([first], blocks)
