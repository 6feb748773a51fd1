"""The rows of an opened lead list: an address found in each, or a reason why not.

A row is either a lead or a bad row, never both and never neither; only blank rows are passed over.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import BinaryIO, Self

from app.errors import TooLarge
from app.uploads.addresses import ORDINARY_CHARS, address_key, is_ordinary, normalise
from app.uploads.header import Header, no_rows
from app.uploads.limits import ReadLimits
from app.uploads.rows import BadRow, LeadBlock, LeadRow, RawBlock, excerpt


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file judged by its first rows, and the rows that are data. `delimiter` is None for a workbook."""

    format: str
    encoding: str | None
    delimiter: str | None
    header: Header
    blocks: Iterator[RawBlock]


class LeadList:
    """The rows of one list; may be read once, as `LeadRow` and `BadRow` or, faster, in blocks.

    Each row has at least as many cells as there are `columns`; a row that was longer keeps its cells.
    """

    def __init__(self, stream: BinaryIO, opened: OpenedFile, limits: ReadLimits) -> None:
        self._stream = stream
        self._blocks = opened.blocks
        self._limits = limits
        self.format = opened.format
        self.encoding = opened.encoding
        self.delimiter = opened.delimiter
        self.columns = opened.header.columns
        self.has_header = opened.header.has_header
        self.email_index = opened.header.email_index
        self.lead_columns = opened.header.lead_columns

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def blocks(self) -> Iterator[LeadBlock]:
        """Yield all rows in blocks. Raises `TooLarge` past `max_rows`, `UnsupportedFile` for no rows."""
        rows = 0
        for raw in self._blocks:
            block = self._find_leads(raw)
            rows += len(block.line_nos) + len(block.bad)
            if rows > self._limits.max_rows:
                raise TooLarge(
                    f"The list has more than {self._limits.max_rows:,} rows. "
                    "Split it and upload the parts.",
                    reason="too_many_rows",
                    max_rows=self._limits.max_rows,
                )
            yield block
        if not rows:
            raise no_rows()

    def __iter__(self) -> Iterator[LeadRow | BadRow]:
        at = self.email_index
        for block in self.blocks():
            rows: list[LeadRow | BadRow] = [*block.bad]
            found = zip(block.line_nos, block.emails, block.cells, strict=True)
            rows += (LeadRow(line_no, cells[at], email, cells) for line_no, email, cells in found)
            yield from sorted(rows, key=itemgetter(0))

    def _find_leads(self, raw: RawBlock) -> LeadBlock:
        """Take a block of ordinary rows over as it is; look at each row of any other."""
        width, at = len(self.columns), self.email_index
        if raw.cells and set(map(len, raw.cells)) == {width}:
            emails = [cells[at] for cells in raw.cells]
            if max(map(len, emails)) <= ORDINARY_CHARS and all(map(is_ordinary, emails)):
                return LeadBlock(raw.line_nos, list(map(str.lower, emails)), raw.cells, raw.bad)
        return self._look_at_rows(raw)

    def _look_at_rows(self, raw: RawBlock) -> LeadBlock:
        block = LeadBlock(bad=raw.bad)
        at = self.email_index
        for line_no, cells in zip(raw.line_nos, raw.cells, strict=True):
            self._fit(cells)
            email = cells[at]
            if len(email) <= ORDINARY_CHARS and is_ordinary(email):
                email = email.lower()
            else:
                email = self._look_closer(line_no, cells, block.bad)
            if email:
                block.line_nos.append(line_no)
                block.emails.append(email)
                block.cells.append(cells)
        block.bad.sort(key=itemgetter(0))
        return block

    def _look_closer(self, line_no: int, cells: list[str], bad: list[BadRow]) -> str:
        """Return the key of an unusual address; "" when there is none, then reported unless blank."""
        try:
            return address_key(normalise(cells[self.email_index]))
        except ValueError as error:
            if any(cell.strip() for cell in cells):
                shown = excerpt((self.delimiter or "\t").join(cells[:100]))
                bad.append(BadRow(line_no, str(error), shown))
            return ""

    def _fit(self, cells: list[str]) -> None:
        """Bring a row to the list's width: blanks added, blanks beyond it removed, other cells kept."""
        width = len(self.columns)
        if len(cells) < width:
            cells.extend([""] * (width - len(cells)))
        while len(cells) > width and not cells[-1]:
            cells.pop()
