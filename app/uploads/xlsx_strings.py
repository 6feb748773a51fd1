"""The shared strings of a workbook: most of its text, named by number from the cells.

They are unpacked only as far as a cell asks for, into a temporary file, so that memory holds an offset for
each and a small cache, not the text. Cells mostly ask in order, hence the read-ahead.
"""

import os
import tempfile
from array import array
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from app.errors import TooLarge
from app.uploads.limits import ReadLimits
from app.uploads.xlsx_cells import unescape
from app.uploads.xlsx_package import Attributes, new_parser

_AHEAD_BYTES = 16 * 1024
_CACHED = 50_000
_CACHED_CHARS = 200


class SharedStrings:
    """Gives the text of each shared string by its number. Close it, or use it as a context."""

    def __init__(self, pieces: Iterator[bytes], limits: ReadLimits) -> None:
        self._pieces = pieces
        self._limits = limits
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed in __exit__
        self._ends = array("Q", [0])
        self._cache: dict[int, str] = {}
        self._window, self._window_start = b"", 0
        self._parser = new_parser()
        self._parser.StartElementHandler = self._on_start
        self._parser.EndElementHandler = self._on_end
        self._text: list[str] = []
        self._new: list[bytes] = []
        self._phonetic = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._file.close()

    def get(self, index: int) -> str:
        """Return string `index`. Raises `IndexError` where there is none, `TooLarge` past the limit."""
        if (cached := self._cache.get(index)) is not None:
            return cached
        if index < 0:
            raise IndexError("no such shared string")
        while index >= len(self._ends) - 1:
            self._unpack()
        text = self._load(self._ends[index], self._ends[index + 1])
        if len(text) <= _CACHED_CHARS:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[index] = text
        return text

    def _load(self, start: int, end: int) -> str:
        at = start - self._window_start
        if at < 0 or at + end - start > len(self._window):
            self._window = os.pread(self._file.fileno(), max(_AHEAD_BYTES, end - start), start)
            self._window_start, at = start, 0
        return self._window[at : at + end - start].decode()

    def _unpack(self) -> None:
        """Read the next piece of the part; raises `IndexError` at its end."""
        piece = next(self._pieces, None)
        if piece is None:
            raise IndexError("no such shared string")
        self._parser.Parse(piece)
        if sum(map(len, self._text)) > self._limits.max_row_chars:
            # Longer than any row may be: its row will be reported, so its end is not needed.
            self._text[:] = ["".join(self._text)[: self._limits.max_row_chars + 1]]
        data = b"".join(self._new)
        self._new.clear()
        while data:
            data = data[os.write(self._file.fileno(), data) :]
        if len(self._ends) > self._limits.max_shared_strings:
            raise TooLarge(
                "The workbook holds too many different texts. Save it as .csv and upload that.",
                max_shared_strings=self._limits.max_shared_strings,
            )

    def _on_start(self, name: str, _: Attributes) -> None:
        match name.rpartition(":")[2]:
            case "t" if not self._phonetic:
                self._parser.CharacterDataHandler = self._text.append
            case "rPh":
                self._phonetic = True

    def _on_end(self, name: str) -> None:
        match name.rpartition(":")[2]:
            case "t":
                self._parser.CharacterDataHandler = None
            case "rPh":
                self._phonetic = False
            case "si":
                data = unescape("".join(self._text)).encode()
                self._text.clear()
                self._new.append(data)
                self._ends.append(self._ends[-1] + len(data))
