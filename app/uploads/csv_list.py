"""Delimited text read row by row: any size, any line ends, broken rows reported and passed by.

Rows follow RFC 4180 as the csv module reads it. A line without a quotation mark is split directly, which
gives the same cells at twice the speed; all others, and those that decoding marked (`charset.MARK`
contains a quotation mark for that reason), take the thorough path. Memory is bounded by one block of text
and one block of rows.
"""

import codecs
import csv
from collections import deque
from collections.abc import Iterator
from io import StringIO
from itertools import chain, islice
from typing import BinaryIO, Self

from app.uploads.charset import ERRORS, MARK, UNDECODABLE
from app.uploads.limits import ReadLimits
from app.uploads.rows import BadRow, RawBlock, excerpt

BLOCK_BYTES = 128 * 1024
#: Small, so that a block stays in the processor's cache and one odd row slows few others.
BLOCK_ROWS = 100

#: Ends a line that was cut off for its length; see `charset.MARK` for the quotation mark.
_CUT = "\udcfe"
_CUT_MARK = _CUT + '"'


def read_text(
    stream: BinaryIO, encoding: str, delimiter: str, limits: ReadLimits
) -> Iterator[RawBlock]:
    """Yield the rows of delimited text in blocks, each row with the line it starts on.

    Blank lines are left out. Nothing in the content makes it raise. Rows of any width come out.
    """
    base = chain.from_iterable(_read_lines(stream, encoding, limits.max_row_chars))
    records = _Records(base, delimiter, limits)
    while (block := records.read_block()) is not None:
        yield block


def _read_lines(stream: BinaryIO, encoding: str, max_chars: int) -> Iterator[list[str]]:
    """Yield lists of physical lines with their ends; a longer line comes cut, ending in `_CUT_MARK`."""
    decoder = codecs.getincrementaldecoder(encoding)(ERRORS)
    rest, final = "", False
    while not final:
        chunk = stream.read(BLOCK_BYTES)
        final = not chunk
        # PostgreSQL has no NUL in text.
        text = decoder.decode(chunk, final).replace("\0", "")
        lines, rest = _split_lines(rest + text, final=final)
        if lines and max(map(len, lines)) > max_chars:
            lines = [x if len(x) <= max_chars else x[:max_chars] + _CUT_MARK for x in lines]
        if len(rest) > max_chars and not rest.endswith("\r"):
            rest = rest[: max_chars + 1]
        if lines:
            yield lines


def _split_lines(text: str, *, final: bool) -> tuple[list[str], str]:
    """Return the whole lines of a text and what is left; a line without an end stands for one with LF."""
    if "\r" not in text:
        lines = text.split("\n")
        rest = lines.pop()
        return ([*lines, rest], "") if final and rest else (lines, rest)
    lines = StringIO(text, newline="").readlines()
    # A carriage return at the very end may be half of a line end.
    rest = lines.pop() if lines and not final and not lines[-1].endswith("\n") else ""
    return lines, rest


class _Unclosed(Exception):
    """A quotation mark opens a cell that does not end within the limits."""


class _LongRecord:
    """Gives the csv module the lines of one record that takes several, and notes what it took."""

    def __init__(self, first: str, source: Iterator[str], limits: ReadLimits) -> None:
        self.taken: list[str] = []
        self._next: str | None = first
        self._source = source
        self._limits = limits
        self._chars = len(first)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line, self._next = self._next, None
        if line is None:
            line = self._take()
        return line if line.endswith(("\n", "\r")) else line + "\n"

    def _take(self) -> str:
        line = next(self._source, None)
        if line is None:
            raise _Unclosed
        self.taken.append(line)
        self._chars += len(line)
        limits = self._limits
        too_long = len(self.taken) > limits.max_row_lines or self._chars > limits.max_row_chars
        if too_long or _CUT in line:
            raise _Unclosed
        return line.replace(MARK, UNDECODABLE)


class _Records:
    """Turns lines into rows; keeps the place in the file and the lines to be read a second time."""

    def __init__(self, base: Iterator[str], delimiter: str, limits: ReadLimits) -> None:
        self._base = base
        self._again: Iterator[str] = iter(())
        self._lines = base
        self._line_no = 0
        self._delimiter = delimiter
        self._limits = limits
        self._unclosed = 0
        # Reads records of one line; asked for a second line, the queue is empty: IndexError.
        self._queue: deque[str] = deque()
        self._reader = csv.reader(iter(self._queue.popleft, None), delimiter=delimiter)

    def read_block(self) -> RawBlock | None:
        """Return the rows that start on the next lines; None at the end of the file."""
        block = RawBlock()
        keep_line_no, keep_cells = block.line_nos.append, block.cells.append
        delimiter, max_splits = self._delimiter, self._limits.max_columns
        enqueue, reader = self._queue.append, self._reader
        line_no = self._line_no
        line = None
        for line in islice(self._lines, BLOCK_ROWS):
            line_no += 1
            if '"' not in line:
                text = line.rstrip("\r\n")
                if text:
                    keep_line_no(line_no)
                    keep_cells(text.split(delimiter, max_splits))
                continue
            if UNDECODABLE not in line and _CUT not in line and self._quotes_count:
                enqueue(line)
                try:
                    cells = next(reader)
                except (IndexError, csv.Error):
                    pass  # longer than this line: the thorough way
                else:
                    keep_line_no(line_no)
                    keep_cells(cells)
                    continue
            taken = self._read_thoroughly(line, line_no, block)
            if taken is None:
                break  # the source of lines was replaced
            line_no += taken
        self._line_no = line_no
        return None if line is None else block

    @property
    def _quotes_count(self) -> bool:
        return self._unclosed < self._limits.max_unclosed

    def _read_thoroughly(self, line: str, line_no: int, block: RawBlock) -> int | None:
        """Add the record that starts with `line`; return how many lines more it took.

        None: its quotation mark is never closed; it is reported alone and the lines after it come again.
        """
        if _CUT in line:
            block.bad.append(BadRow(line_no, "the row is too long", excerpt(line)))
            return 0
        line = line.replace(MARK, UNDECODABLE)
        record = _LongRecord(line, self._lines, self._limits)
        try:
            cells = self._parse(record, line)
        except (_Unclosed, csv.Error):
            self._unclosed += 1
            self._again = iter(record.taken + list(self._again))
            self._lines = chain(self._again, self._base)
            problem = "a quotation mark opens a cell that is not closed"
            block.bad.append(BadRow(line_no, problem, excerpt(line)))
            return None
        if any(UNDECODABLE in cell for cell in cells):
            block.bad.append(BadRow(line_no, "some characters can't be read", excerpt(line)))
        else:
            block.line_nos.append(line_no)
            block.cells.append(cells)
        return len(record.taken)

    def _parse(self, record: _LongRecord, line: str) -> list[str]:
        if not self._quotes_count:
            return line.rstrip("\r\n").split(self._delimiter, self._limits.max_columns)
        # Strict: text after a closing mark means that another row's mark "closed" this one's cell.
        return next(csv.reader(record, delimiter=self._delimiter, strict=True))
