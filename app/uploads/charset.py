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


def detect_charset(sample: bytes) -> str:
    """Return the Python codec name for text that looks like `sample`.

    Raises `UnsupportedFile` when, so decoded, it is not text but something binary.
    """
    encoding = _guess(sample)
    text = decode(sample, encoding)
    if len(_CONTROLS.findall(text)) > 0.02 * len(text):
        raise not_a_table("binary data")
    return encoding


def _guess(sample: bytes) -> str:
    for bom, encoding in _BOMS:
        if sample.startswith(bom):
            return encoding
    if wide := _wide(sample[:4096]):
        return wide
    if _fits_utf8(sample):
        return "utf-8"
    return _guess_legacy(sample)


def _wide(sample: bytes) -> str | None:
    """Recognise UTF-16 without a BOM: in Latin text every second byte is zero."""
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
    # Only lines with something to tell: pure ASCII lines dilute the measure and cost time.
    telling = b"\n".join(line for line in sample.splitlines() if not line.isascii())[:65_536]
    matches = from_bytes(telling, cp_isolation=_PLAUSIBLE, enable_fallback=False)
    others = [match for match in matches if match.encoding != _WESTERN]
    best = matches.best()
    if best is None or not others:
        return _WESTERN
    western = telling.decode(_WESTERN, "replace")
    if len(_SYMBOL_IN_WORD.findall(western)) * 50 > sum(char > "\x7f" for char in western):
        return str(others[0].encoding)
    readings = {name for match in matches for name in match.could_be_from_charset}
    if _WESTERN in readings:
        chaos = min(m.chaos for m in matches if _WESTERN in m.could_be_from_charset)
        if chaos <= best.chaos + _ABOUT_EQUAL:
            return _WESTERN
    return str(best.encoding)
