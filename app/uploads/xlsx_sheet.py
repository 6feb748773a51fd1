"""One sheet of a workbook, streamed: elements in, rows of text out."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from app.uploads.limits import ReadLimits
from app.uploads.rows import BadRow, RawBlock, excerpt
from app.uploads.xlsx_cells import Kind, column_index, kind_of, show_number, unescape
from app.uploads.xlsx_package import Attributes, new_parser
from app.uploads.xlsx_strings import SharedStrings

BLOCK_ROWS = 500
_LAST_ROW = 1_048_576
#: The last column is XFD.
_COLUMN_LETTERS = 3


class SheetReader:
    """Reads one sheet once. What it raises on broken XML is for `damaged_workbook` to translate."""

    def __init__(
        self, shared: SharedStrings, kinds: Sequence[Kind], epoch: datetime, limits: ReadLimits
    ) -> None:
        self._shared, self._kinds, self._epoch, self._limits = shared, kinds, epoch, limits
        self._columns: dict[str, int] = {}
        self._block = RawBlock()
        self._row: list[str] = []
        self._row_no = 0
        self._chars = 0
        self._problem: str | None = None
        self._cell: Attributes = {}
        self._text: list[str] = []
        self._phonetic = self._ended = False
        self._prefix = 0
        self._parser = new_parser()
        self._parser.StartElementHandler = self._on_root

    def read(self, pieces: Iterator[bytes]) -> Iterator[RawBlock]:
        """Yield the rows of the sheet whose XML comes in `pieces`; blank rows are left out."""
        for piece in pieces:
            self._parser.Parse(piece)
            if len(self._text) > 1:
                self._text[:] = ["".join(self._text)[: self._limits.max_row_chars + 1]]
            if len(self._block.cells) + len(self._block.bad) >= BLOCK_ROWS:
                yield self._take_block()
            if self._ended:
                break
        else:
            self._parser.Parse(b"", True)  # noqa: FBT003 - expat takes no keywords
        yield self._take_block()

    def _take_block(self) -> RawBlock:
        block, self._block = self._block, RawBlock()
        return block

    def _on_root(self, name: str, _: Attributes) -> None:
        # Some writers put every element into a namespace prefix; the root tells which.
        self._prefix = len(name) - len(name.rpartition(":")[2])
        self._parser.StartElementHandler = self._on_start
        self._parser.EndElementHandler = self._on_end

    def _on_start(self, name: str, found: Attributes) -> None:
        if self._prefix:
            name = name[self._prefix :]
        if name == "c":
            self._cell = found
        elif name == "v" or (name == "t" and not self._phonetic):
            self._parser.CharacterDataHandler = self._text.append
        elif name == "row":
            self._start_row(found.get("r", ""))
        elif name == "rPh":
            self._phonetic = True

    def _on_end(self, name: str) -> None:
        if self._prefix:
            name = name[self._prefix :]
        if name in ("v", "t"):
            self._parser.CharacterDataHandler = None
        elif name == "c":
            if self._text:
                self._end_cell("".join(self._text))
                self._text.clear()
            elif "r" not in self._cell and len(self._row) < self._limits.max_columns:
                self._row.append("")
        elif name == "row":
            self._end_row()
        elif name == "rPh":
            self._phonetic = False
        elif name == "sheetData":
            self._ended = True

    def _start_row(self, number: str) -> None:
        self._row_no = int(number) if number else self._row_no + 1
        if not 0 < self._row_no <= _LAST_ROW:
            raise ValueError("a row number outside of the sheet")
        self._row, self._chars, self._problem = [], 0, None

    def _end_cell(self, text: str) -> None:
        reference = self._cell.get("r")
        at = len(self._row) if reference is None else self._find_column(reference)
        value = self._show(text)
        self._chars += len(value)
        if at >= self._limits.max_columns:
            self._problem = f"the row has more than {self._limits.max_columns} cells"
        elif self._chars > self._limits.max_row_chars:
            self._problem = "the row is too long"
        elif at == len(self._row):
            self._row.append(value)
        else:
            self._row.extend([""] * (at + 1 - len(self._row)))
            self._row[at] = value

    def _find_column(self, reference: str) -> int:
        letters = reference.rstrip("0123456789")
        index = self._columns.get(letters)
        if index is None:
            index = column_index(letters)
            # What is kept for the next cell must be few.
            if index < 0 or len(letters) > _COLUMN_LETTERS:
                raise ValueError("a cell without a column")
            self._columns[letters] = index
        return index

    def _show(self, text: str) -> str:
        match self._cell.get("t", "n"):
            case "s":
                return self._shared.get(int(text))
            case "n":
                return show_number(text, kind_of(self._cell.get("s"), self._kinds), self._epoch)
            case "b":
                return "TRUE" if text.strip() == "1" else "FALSE"
            case _:
                return unescape(text)

    def _end_row(self) -> None:
        if self._problem is not None:
            shown = excerpt("\t".join(self._row)[:200])
            self._block.bad.append(BadRow(self._row_no, self._problem, shown))
        elif any(self._row):
            self._block.line_nos.append(self._row_no)
            self._block.cells.append(self._row)
