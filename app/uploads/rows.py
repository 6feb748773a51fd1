"""What reading a list yields: leads, bad rows, and blocks of both.

Blocks are what the fast path hands on: parallel lists instead of a million small objects. `line_no` is
always the line (CSV) or row (XLSX) where the row starts in the file as the user sees it, from 1.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

_UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f]+")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_EXCERPT_CHARS = 120


class LeadRow(NamedTuple):
    """One row with a usable address. `email` is the de-duplication key, `email_raw` the cell as written."""

    line_no: int
    email_raw: str
    email: str
    cells: list[str]


class BadRow(NamedTuple):
    """One row that can't be used, and why, in words for the person who uploaded it."""

    line_no: int
    reason: str
    excerpt: str


@dataclass(slots=True)
class RawBlock:
    """Rows as the format gives them, before anybody looked for addresses. Blank rows are left out."""

    line_nos: list[int] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)


@dataclass(slots=True)
class LeadBlock:
    """Leads as parallel lists, in the order of the file, and the bad rows met on the way."""

    line_nos: list[int] = field(default_factory=list)
    emails: list[str] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)


def excerpt(text: str) -> str:
    """Return the beginning of a row's text, fit for a table and for PostgreSQL.

    Control characters become spaces; what could not be decoded becomes U+FFFD.
    """
    shown = _UNSHOWABLE.sub(" ", text[: _EXCERPT_CHARS + 1])
    if len(shown) > _EXCERPT_CHARS:
        shown = shown[:_EXCERPT_CHARS] + "…"
    return _SURROGATES.sub("\ufffd", shown).strip()
