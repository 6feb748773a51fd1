"""Text that people see in terminals, pages and messages: what it may consist of, and how what it may not is shown.

Control characters move cursors, clear screens and turn the direction of writing. They are refused where text comes in;
SQL may write them all the same, so they are shown by their number where text goes out.
"""

import json
import unicodedata

from app.errors import InvalidInput

_LINE_BREAKS = "\r\n"
_MESSAGE_LENGTH = 200


def require_plain(what: str, text: str, *, lines: bool = False) -> None:
    """Raise `InvalidInput` for text with characters that can't be seen; with `lines` it may have line breaks."""
    if any(not _is_seen(c) and not (lines and c in _LINE_BREAKS) for c in text):
        rule = " other than line breaks" if lines else ""
        raise InvalidInput(f"{what} must not have control characters{rule}.")


def escaped(text: str, *, keep: str = "") -> str:
    r"""Return the text with what can't be seen written as in JSON: \u001b. What is in `keep` stays."""
    return "".join(c if _is_seen(c) or c in keep else json.dumps(c)[1:-1] for c in text)


def clean_text(value: object, *, hide: str = "") -> str:
    """Make a vendor's text fit to store and show: printable, short, without the secret `hide`."""
    text = value if isinstance(value, str) else ""
    if hide:
        text = text.replace(hide, "…")
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return text.strip()[:_MESSAGE_LENGTH]


def _is_seen(c: str) -> bool:
    # Python counts no space but the plain one as printable; names are pasted with others.
    return c.isprintable() or unicodedata.category(c) == "Zs"
