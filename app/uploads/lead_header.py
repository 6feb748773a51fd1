"""Which row of a list of leads names its columns, and which columns say who the leads are.

A header is told by its names: by those that the user gave, else by the usual ones, else by a first row that has words
where those below have web addresses or numbers. A list without either is taken to have no header, and its columns go by
their numbers.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from app.uploads.header import (
    Header,
    bare,
    email_by_content,
    make_header,
    title_rows,
    usable_rows,
)
from app.uploads.lead_columns import LeadsWanted, check_identity, find_columns, suggest

#: A web address, an e-mail, a number or a date: what no column is called.
_FIGURE = re.compile(r"\S+[.@]\S{2,}|[+\d][\d\s.,:/()+-]*")


def find_lead_header(rows: list[list[str]], wanted: LeadsWanted, max_columns: int) -> Header:
    """Return what the first rows of a list say about its columns.

    Raises `UnsupportedFile` (`reason` "no_rows", "too_many_columns", "unknown_column" or "no_lead_columns", the last two
    with `columns`).
    """
    rows = usable_rows(rows, max_columns)
    named = wanted.said
    header = make_header(rows, _title_row(rows, named), -1)
    found = _suggested(rows, header) if wanted.named is None else {}
    # Where no row has a name that was given, the first is what the person takes for the names.
    shown = header if header.has_header or _are_numbers(named) else make_header(rows, 0, -1)
    found |= find_columns(named, shown.columns)
    if not wanted.is_draft:
        check_identity(found, header.columns, wanted)
    return replace(header, email_index=found.get("email", -1), lead_columns=found)


def _suggested(rows: list[list[str]], header: Header) -> dict[str, int]:
    found = suggest(header.columns) if header.has_header else {}
    if "email" not in found and (by_content := email_by_content(rows)) is not None:
        found["email"] = by_content
    return found


def _are_numbers(named: Mapping[str, str | int]) -> bool:
    return all(str(name).strip().isdecimal() for name in named.values())


def _title_row(rows: list[list[str]], named: Mapping[str, str | int]) -> int | None:
    """Return the first of the rows in which most of the names stand; None: none of them has one."""
    given = {bare(str(name)) for name in named.values() if not str(name).strip().isdecimal()}
    best, best_count = None, (0, 0)
    for number, row in enumerate(title_rows(rows)):
        count = (len(given & set(map(bare, row))), len(suggest(row)))
        if count > best_count:
            best, best_count = number, count
    if best is None and _stands_out(rows):
        return 0
    return best


def _stands_out(rows: list[list[str]]) -> bool:
    """Tell whether some column has a word in its first row and addresses or numbers in most of the others."""
    first, others = rows[0], rows[1:]
    for index, cell in enumerate(first):
        filled = [row[index] for row in others if len(row) > index and row[index].strip()]
        told = sum(_is_figure(text) for text in filled)
        if cell.strip() and not _is_figure(cell) and filled and told * 2 > len(filled):
            return True
    return False


def _is_figure(cell: str) -> bool:
    return bool(_FIGURE.fullmatch(cell.strip()[:200]))
