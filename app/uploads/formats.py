"""What kind of file an upload really is, judged by its content; the file's name decides nothing.

Everything that can't be a list of leads is refused here, before a job exists.
"""

from typing import Literal

from app.errors import UnsupportedFile

Container = Literal["text", "xlsx"]

#: Bytes that tell text from other things, delimiters from each other, and so on.
HEAD_BYTES = 256 * 1024

_SAVE_AS = "Save the list as .xlsx or .csv and upload that."

#: (first bytes, what it is, what to do). Sources: the formats' own specifications.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG picture", _SAVE_AS),
    (b"\xff\xd8\xff", "a JPEG picture", _SAVE_AS),
    (b"GIF8", "a GIF picture", _SAVE_AS),
    (b"%PDF-", "a PDF document", _SAVE_AS),
    (b"{\\rtf", "an RTF document", _SAVE_AS),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls) or one with a password", _SAVE_AS),
    (b"\x1f\x8b", "a gzip archive", "Unpack it and upload the list inside."),
    (b"BZh", "a bzip2 archive", "Unpack it and upload the list inside."),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it and upload the list inside."),
    (b"Rar!\x1a\x07", "a RAR archive", "Unpack it and upload the list inside."),
    (b"\xfd7zXZ\x00", "an xz archive", "Unpack it and upload the list inside."),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "Unpack it and upload the list inside."),
    (b"SQLite format 3\x00", "a SQLite database", _SAVE_AS),
    (b"PAR1", "a Parquet file", _SAVE_AS),
    (b"\x7fELF", "a program", _SAVE_AS),
)
_HTML = (b"<!doctype html", b"<html", b"<table", b"<?xml")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")


def detect_container(head: bytes) -> Container:
    """Return how to read a file that starts with `head`; a ZIP counts as XLSX until it is opened.

    Raises `UnsupportedFile` (`reason` "empty" or "not_a_table").
    """
    if not head.strip(b"\x00 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise UnsupportedFile(
            "The file is empty. Upload a list with one lead a row.", reason="empty"
        )
    if head.startswith(_ZIP):
        return "xlsx"
    for signature, name, remedy in _SIGNATURES:
        if head.startswith(signature):
            raise not_a_table(name, remedy)
    if head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML):
        raise not_a_table("a web page or XML document", _SAVE_AS)
    return "text"


def not_a_table(name: str, remedy: str = _SAVE_AS) -> UnsupportedFile:
    """Return the error for a file that holds something else than rows."""
    return UnsupportedFile(f"The file is {name}, not a list. {remedy}", reason="not_a_table")
