"""Which characters a text file's bytes stand for.

UTF-8 wins whenever it fits; other encodings are guessed from the first bytes that are not ASCII. Decoding
never fails: each undecodable stretch becomes `MARK`, so that one broken row stays one broken row.
"""

import codecs
import re
from typing import BinaryIO

from charset_normalizer import from_bytes

from app.uploads.formats import HEAD_BYTES, not_a_table

#: A lone surrogate, which no decoder yields by itself, and a quotation mark that sends the row down the
#: CSV reader's thorough path (`csv_list`), where both are taken out again.
UNDECODABLE = "\udcff"
MARK = UNDECODABLE + '"'
ERRORS = "laneway.mark"

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: What spreadsheets and address books of the last thirty years write. The rest of Python's codecs would
#: only be wrong guesses.
_PLAUSIBLE = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
    *("iso8859_2", "koi8_r", "mac_roman", "cp932", "euc_jp", "gb18030", "big5", "cp949"),
]
_WESTERN = "cp1252"
_TELLING_BYTES = 65_536
#: charset-normalizer's measure of disorder; nearer than this counts as equal.
_ABOUT_EQUAL = 0.02
#: "Ma³gorzata": Polish in cp1250, read as cp1252.
_SYMBOL_IN_WORD = re.compile(r"[a-z][¢£¥¦§©¬®°±²³¶·¹¼½¾¿¡][a-zà-ÿ]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x19\x1b-\x1f\x7f]")


def _mark(error: UnicodeError) -> tuple[str, int]:
    if isinstance(error, UnicodeDecodeError):
        return MARK, error.end
    raise error


codecs.register_error(ERRORS, _mark)


def decode(data: bytes, encoding: str) -> str:
    """Return the text of a file's beginning, `MARK` for what can't be decoded; a cut-off end is dropped."""
    return codecs.getincrementaldecoder(encoding)(ERRORS).decode(data)


def first_non_ascii(stream: BinaryIO) -> bytes:
    """Return up to `HEAD_BYTES` from where a stream stops being ASCII; empty when it never does."""
    while block := stream.read(1024 * 1024):
        if not block.isascii():
            start = next(i for i in range(0, len(block), 4096) if not block[i : i + 4096].isascii())
            return (block[start:] + stream.read(HEAD_BYTES))[:HEAD_BYTES]
    return b""


def detect_charset(sample: bytes, *, at_start: bool = True) -> str:
    """Return the Python codec name for text that looks like `sample`.

    `at_start` says that the sample begins the file, where a byte order mark may stand. Raises
    `UnsupportedFile` when, so decoded, it is not text but something binary.
    """
    encoding = (_guess_wide(sample) if at_start else None) or _guess(sample)
    text = decode(sample, encoding)
    if len(_CONTROLS.findall(text)) > max(8, 0.02 * len(text)):
        raise not_a_table("binary data")
    return encoding


def _guess(sample: bytes) -> str:
    return "utf-8" if _fits_utf8(sample) else _guess_legacy(sample)


def _guess_wide(sample: bytes) -> str | None:
    """Recognise byte order marks and, without one, UTF-16: in Latin text every second byte is zero."""
    for bom, encoding in _BOMS:
        if sample.startswith(bom):
            return encoding
    sample = sample[:4096]
    half = len(sample) // 2
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd > half * 0.3 and even <= half * 0.02:
        return "utf-16-le"
    if even > half * 0.3 and odd <= half * 0.02:
        return "utf-16-be"
    return None


def _fits_utf8(sample: bytes) -> bool:
    """Say whether it is UTF-8, a rare broken byte forgiven."""
    text = decode(sample, "utf-8")
    broken = text.count(UNDECODABLE)
    if not broken:
        return True
    sound = len(text) - len(text.encode("ascii", "ignore")) - broken
    return sound > 10 * broken


def _guess_legacy(sample: bytes) -> str:
    # Only lines with something to tell: pure ASCII lines dilute the measure and cost time. Whole lines:
    # half a character at the end would rule its encoding out.
    telling = b"\n".join(line for line in sample.splitlines() if not line.isascii())
    if len(sample) >= HEAD_BYTES or len(telling) > _TELLING_BYTES:
        telling = telling[:_TELLING_BYTES].rpartition(b"\n")[0] or telling[:_TELLING_BYTES]
    matches = from_bytes(telling, cp_isolation=_PLAUSIBLE, enable_fallback=False)
    best = matches.best()
    others = [match for match in matches if match.encoding != _WESTERN]
    if best is None or not others:
        return _WESTERN
    western = telling.decode(_WESTERN, "replace")
    if len(_SYMBOL_IN_WORD.findall(western)) * 50 > sum(char > "\x7f" for char in western):
        return str(others[0].encoding)
    as_western = [match.chaos for match in matches if _WESTERN in match.could_be_from_charset]
    if as_western and min(as_western) <= best.chaos + _ABOUT_EQUAL:
        return _WESTERN
    return str(best.encoding)
