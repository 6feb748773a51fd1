"""Which row names the columns, and which column holds the address.

By the user's word first, then by name, then by content: the column whose cells are addresses.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from app.errors import UnsupportedFile
from app.uploads.addresses import looks_like_address

#: Rows looked at; a header may stand below a few lines of title.
SAMPLE_ROWS = 200
_HEADER_ROWS = 10

#: Names of the address column, best first; compared as `bare` leaves them.
EMAIL_NAMES = (
    *("email", "e-mail address", "email id", "work email", "business email", "company email"),
    *("corporate email", "professional email", "contact email", "primary email", "lead email"),
    *("person email", "user email", "customer email", "email 1", "e-mail 1 - value", "email work"),
    *("mail", "mail address", "personal email"),
    *("E-Mail-Adresse", "Mailadresse", "e-mailadres"),
    *("courriel", "adresse mail", "adresse e-mail", "adresse courriel", "adresse électronique"),
    *("correo", "correo electrónico", "dirección de correo", "endereço de e-mail"),
    *("posta elettronica", "indirizzo e-mail", "e-mailadress", "e-post", "e-postadress"),
    *("sähköposti", "adres e-mail", "adresa e-mail", "e-posta"),
    *("почта", "электронная почта", "メール", "メールアドレス", "邮箱", "电子邮件"),
)


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a list. `first_row` is the index of the first row that is data.

    `email_index` is -1 where no column holds addresses, which only a list of leads may be without; `lead_columns` are that
    one's fields with their columns.
    """

    columns: list[str]
    email_index: int
    has_header: bool
    first_row: int
    lead_columns: Mapping[str, int] = field(default_factory=dict)


def find_header(rows: list[list[str]], email_column: str | None, max_columns: int) -> Header:
    """Return what the first rows of a list say about its columns.

    `email_column` is a column's name, or its number from 1. Raises `UnsupportedFile` (`reason` "no_rows",
    "no_email_column", "unknown_email_column" or "too_many_columns", with `columns` where there are some).
    """
    rows = usable_rows(rows, max_columns)
    wanted = (email_column or "").strip()
    named = _find_wanted(rows, wanted) if wanted else _find_named(rows)
    if named is not None:
        return make_header(rows, *named)
    return _header_by_number(rows, wanted) if wanted else _header_by_content(rows)


def usable_rows(rows: list[list[str]], max_columns: int) -> list[list[str]]:
    """Return the rows to judge by. Raises `UnsupportedFile` ("no_rows", "too_many_columns")."""
    rows = rows[:SAMPLE_ROWS]
    if not any(map(any, rows)):
        raise no_rows()
    width = Counter(map(len, rows)).most_common(1)[0][0]
    if width > max_columns:
        raise UnsupportedFile(
            f"The list has more than {max_columns:,} columns. Remove those that are not needed.",
            reason="too_many_columns",
        )
    # One odd row is no reason to refuse the list, nor to look at tens of thousands of its cells.
    return [row[:max_columns] for row in rows]


def no_rows() -> UnsupportedFile:
    """Return the error for a list without a single lead."""
    return UnsupportedFile(
        "The list has no rows below its header. Upload a list with one lead a row.",
        reason="no_rows",
    )


def bare(name: str) -> str:
    """Return a column's name without case, accents, spaces and punctuation."""
    plain = unicodedata.normalize("NFKD", name[:200].casefold())
    return re.sub(r"[\W_]+", "", "".join(c for c in plain if not unicodedata.combining(c)))


_RANK = {bare(name): rank for rank, name in reversed(list(enumerate(EMAIL_NAMES)))}


def title_rows(rows: list[list[str]]) -> list[list[str]]:
    """Return the first rows, as far as they can be a header: before any address."""
    below_title = takewhile(lambda row: not any(map(looks_like_address, row)), rows[:_HEADER_ROWS])
    return list(below_title)


def _find_wanted(rows: list[list[str]], wanted: str) -> tuple[int, int] | None:
    """Return (row, column) of the header cell that the user named: exactly, else in any spelling."""
    for same in (str.strip, bare):
        target = same(wanted)
        for number, row in enumerate(title_rows(rows)):
            for index, cell in enumerate(row):
                if target and same(cell) == target:
                    return number, index
    return None


def _find_named(rows: list[list[str]]) -> tuple[int, int] | None:
    """Return (row, column) of the best header cell known by name; one with addresses below is better."""
    for number, row in enumerate(title_rows(rows)):
        ranked = [
            (not _addresses_in(rows, index), _RANK[name], index)
            for index, cell in enumerate(row)
            if (name := bare(cell)) in _RANK
        ]
        if ranked:
            return number, min(ranked)[2]
    return None


def _header_by_number(rows: list[list[str]], wanted: str) -> Header:
    columns = make_header(rows, 0 if title_rows(rows) else None, 0).columns
    index = int(wanted) - 1 if wanted.isdecimal() and len(wanted) < 6 else -1
    if not 0 <= index < len(columns):
        raise UnsupportedFile(
            f"There is no column '{wanted[:100]}'. The columns are: {', '.join(columns)[:1000]}.",
            reason="unknown_email_column",
            columns=columns,
        )
    return make_header(rows, _title_row(rows, index), index)


def _header_by_content(rows: list[list[str]]) -> Header:
    index = email_by_content(rows)
    if index is None:
        raise UnsupportedFile(
            "No column with e-mail addresses was found. Name the column 'email', or say which it is.",
            reason="no_email_column",
            columns=make_header(rows, 0, 0).columns,
        )
    return make_header(rows, _title_row(rows, index), index)


def email_by_content(rows: list[list[str]]) -> int | None:
    """Return the column with the most addresses, if addresses are what most of its cells hold."""
    counts = {
        index: found
        for index in range(max(map(len, rows)))
        if (found := _addresses_in(rows, index)) * 2 > _filled(rows, index) - 1
    }
    return max(counts, key=lambda index: counts[index]) if any(counts.values()) else None


def _addresses_in(rows: list[list[str]], index: int) -> int:
    return sum(len(row) > index and looks_like_address(row[index]) for row in rows)


def _filled(rows: list[list[str]], index: int) -> int:
    return sum(len(row) > index and bool(row[index].strip()) for row in rows)


def _title_row(rows: list[list[str]], index: int) -> int | None:
    """Return 0 when the first row has a name, not an address, in the address column; else None."""
    cell = rows[0][index].strip() if len(rows[0]) > index else ""
    return 0 if cell and "@" not in cell else None


def make_header(rows: list[list[str]], title_row: int | None, email_index: int) -> Header:
    """Return a header of the names in a row, or of made-up ones (None)."""
    titles = rows[title_row] if title_row is not None else []
    first_row = 0 if title_row is None else title_row + 1
    widths = Counter(map(len, rows[first_row:])).most_common(1)
    width = max(len(titles), widths[0][0] if widths else 0, email_index + 1)
    return Header(_name_columns(titles, width), email_index, title_row is not None, first_row)


def _name_columns(titles: list[str], width: int) -> list[str]:
    """Return `width` different names: the titles, "Column 3" for a blank one, "City (2)" for a second."""
    names: dict[str, None] = {}
    numbers: Counter[str] = Counter()
    for index in range(width):
        title = " ".join(titles[index].split())[:200] if index < len(titles) else ""
        name = plain = title or f"Column {index + 1}"
        while name in names:
            # Goes on where the last copy ended: a thousand equal names are no million tries.
            numbers[plain] += 1
            name = f"{plain} ({numbers[plain] + 1})"
        names[name] = None
    return list(names)
