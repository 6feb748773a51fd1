"""Excel workbooks (.xlsx, .xlsm) read row by row: the first visible sheet that has rows.

The workbook is streamed. The libraries that load a sheet whole need hundreds of megabytes for a long one
and can be made to reserve any amount by a single cell in the last corner; here memory is bounded by one
piece of XML and one block of rows.
"""

import posixpath
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import BinaryIO

from app.uploads.limits import ReadLimits
from app.uploads.rows import RawBlock
from app.uploads.xlsx_cells import read_styles
from app.uploads.xlsx_package import Attributes, Package, damaged_workbook
from app.uploads.xlsx_sheet import SheetReader
from app.uploads.xlsx_strings import SharedStrings


@dataclass(slots=True)
class _Book:
    """Where the parts of a workbook are. Day 0 of its calendar is 1899-12-30, or 1904 on old Macs."""

    sheets: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    strings: str = "xl/sharedStrings.xml"
    epoch: datetime = datetime(1899, 12, 30)  # noqa: DTZ001 - a calendar day, not a moment


def read_workbook(stream: BinaryIO, limits: ReadLimits) -> Iterator[RawBlock]:
    """Yield the rows of the first sheet with content, in blocks; `line_no` is Excel's row number.

    Raises `UnsupportedFile` for anything that is not a sound workbook, `TooLarge` past the limits.
    """
    with damaged_workbook(), ExitStack() as stack:
        package = Package(stream, limits)
        book = _read_book(package)
        kinds = read_styles(package)
        pieces = package.read_part(book.strings) if package.has(book.strings) else iter(())
        shared = stack.enter_context(SharedStrings(pieces, limits))
        for sheet in book.sheets or book.hidden:
            reader = SheetReader(shared, kinds, book.epoch, limits)
            blocks = reader.read(package.read_part(sheet))
            first = next((block for block in blocks if block.cells or block.bad), None)
            if first is not None:
                yield from chain([first], blocks)
                return


def _read_book(package: Package) -> _Book:
    """Return the parts of the workbook, its sheets in the order of their tabs."""
    book = _Book()
    targets: dict[str, str] = {}

    def on_relation(name: str, found: Attributes) -> None:
        if name == "Relationship":
            target = posixpath.normpath(posixpath.join("/xl", found.get("Target", ""))).lstrip("/")
            targets[found.get("Id", "")] = target
            if found.get("Type", "").endswith("/sharedStrings"):
                book.strings = target

    def on_element(name: str, found: Attributes) -> None:
        if name == "workbookPr" and found.get("date1904") in ("1", "true", "on"):
            book.epoch = datetime(1904, 1, 1)  # noqa: DTZ001 - a calendar day, not a moment
        if name == "sheet":
            relation = next((found[key] for key in found if key.rpartition(":")[2] == "id"), "")
            target = targets.get(relation, "")
            tabs = book.sheets if found.get("state", "visible") == "visible" else book.hidden
            if package.has(target):
                tabs.append(target)

    package.scan("xl/_rels/workbook.xml.rels", on_relation)
    package.scan("xl/workbook.xml", on_element)
    return book
