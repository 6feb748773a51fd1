"""The ZIP file around an Excel workbook: what is in it, and that unpacking it is safe.

Nothing is unpacked before its declared size was judged, and no more than the declared size is ever
unpacked. XML with a DOCTYPE (entities, outside references) is refused; Excel never writes one.
"""

import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO
from xml.parsers import expat

from app.errors import TooCostly, UnsupportedFile
from app.uploads.formats import not_a_table
from app.uploads.limits import ReadLimits

PIECE_BYTES = 64 * 1024
#: Sizes under this are never called a bomb, whatever their ratio: a sheet of equal rows packs well.
_HARMLESS_BYTES = 32 * 1024**2
_DIRECTORY_BYTES = 1024**2
_SMALL_PART_BYTES = 16 * 1024**2
_END_RECORD, _END_RECORD_64 = b"PK\x05\x06", b"PK\x06\x06"

_OTHER_ZIPS = (
    ("xl/workbook.bin", "a binary Excel workbook (.xlsb)", None),
    ("content.xml", "an OpenDocument file (.ods)", None),
    ("word/document.xml", "a Word document", None),
    ("ppt/presentation.xml", "a presentation", None),
)

Attributes = dict[str, str]
OnStart = Callable[[str, Attributes], None]


@contextmanager
def damaged_workbook() -> Iterator[None]:
    """Turn whatever a broken archive or broken XML raises into `UnsupportedFile`."""
    try:
        yield
    except (
        *(zipfile.BadZipFile, zlib.error, expat.ExpatError, struct.error, EOFError, OSError),
        *(KeyError, ValueError, IndexError, OverflowError, NotImplementedError, RuntimeError),
    ) as error:
        raise UnsupportedFile(
            "The workbook is damaged and can't be read. Save it again as .xlsx or .csv and upload that.",
            reason="damaged",
        ) from error


def _bomb(what: str) -> UnsupportedFile:
    return UnsupportedFile(
        f"The workbook is refused: {what}. Save the list as .csv and upload that.",
        reason="decompression_bomb",
    )


class Package:
    """An opened workbook. Every method may raise `UnsupportedFile`; wrap calls in `damaged_workbook`."""

    def __init__(self, stream: BinaryIO, limits: ReadLimits) -> None:
        # The thread's own time: waiting for the database, or for other threads, is not the file's fault.
        self._until = time.thread_time() + limits.max_cpu_seconds
        _check_directory(stream)
        self._zip = zipfile.ZipFile(stream)
        self._limits = limits
        self._parts = {info.filename.lower(): info for info in self._zip.infolist()}
        if "[content_types].xml" not in self._parts or "xl/workbook.xml" not in self._parts:
            raise self._what_else()

    def has(self, name: str) -> bool:
        """Say whether the package holds a part of this name, in any case."""
        return name.lower() in self._parts

    def read_part(self, name: str) -> Iterator[bytes]:
        """Yield a part's bytes in pieces. Raises `TooCostly` at the piece with which the time is used up."""
        self._check_time()
        info = self._parts[name.lower()]
        if info.flag_bits & 1 or info.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):
            raise UnsupportedFile(
                "The workbook is encrypted. Save it without a password and upload that.",
                reason="encrypted",
            )
        if info.file_size > self._limits.max_inflated_bytes:
            raise _bomb(f"it would unpack to {info.file_size // 1024**2:,} MB")
        ratio = info.file_size // max(info.compress_size, 1)
        if info.file_size > _HARMLESS_BYTES and ratio > self._limits.max_inflation_ratio:
            raise _bomb(f"it would unpack to {ratio} times its size")
        with self._zip.open(info) as part:
            while piece := part.read(PIECE_BYTES):
                yield piece
                self._check_time()

    def scan(self, name: str, on_start: OnStart) -> None:
        """Call `on_start` with (name without namespace, attributes) for each element of a small part."""
        if not self.has(name):
            return
        if self._parts[name.lower()].file_size > _SMALL_PART_BYTES:
            raise _bomb(f"its part {name[:100]} is too large")
        parser = new_parser()
        parser.StartElementHandler = lambda tag, found: on_start(tag.rpartition(":")[2], found)
        for piece in self.read_part(name):
            parser.Parse(piece)
        parser.Parse(b"", True)  # noqa: FBT003 - expat takes no keywords

    def _check_time(self) -> None:
        if time.thread_time() > self._until:
            raise TooCostly(
                "The workbook takes too long to read. Save the list as .csv and upload that.",
                reason="too_costly",
            )

    def _what_else(self) -> UnsupportedFile:
        for name, what, _ in _OTHER_ZIPS:
            if name in self._parts:
                return not_a_table(what)
        return not_a_table("a ZIP archive", "Unpack it and upload the list inside.")


def new_parser() -> expat.XMLParserType:
    """Return an XML parser that gives text in one piece and refuses a DOCTYPE."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.buffer_size = PIECE_BYTES
    parser.StartDoctypeDeclHandler = _refuse_doctype
    return parser


def _refuse_doctype(*_: object) -> None:
    raise _bomb("its XML defines entities")


def _check_directory(stream: BinaryIO) -> None:
    """Refuse a table of contents so long that only reading it would fill the memory.

    Layout: .ZIP File Format Specification 6.3.10, sections 4.3.14 and 4.3.16.
    """
    size = stream.seek(0, 2)
    stream.seek(max(0, size - 65_536 - 22 - 76))
    tail = stream.read()
    sizes = [0]
    if (at := tail.rfind(_END_RECORD)) >= 0:
        sizes += struct.unpack_from("<I", tail, at + 12)
    if (at := tail.rfind(_END_RECORD_64)) >= 0 and len(tail) >= at + 48:
        sizes.append(struct.unpack_from("<Q", tail, at + 40)[0])
    if max(sizes) > _DIRECTORY_BYTES:
        raise _bomb("it holds too many parts")
    stream.seek(0)
