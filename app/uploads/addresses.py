"""E-mail addresses as people write them into lists, brought into one form.

An address that comes out of here is syntactically sound, without control characters, its domain in ASCII
and lower case. Nothing is looked up: whether the domain exists is verification's question.
"""

import re
from functools import lru_cache

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

#: Ordinary ASCII addresses: most of every list. Whatever it turns down gets the slow, thorough look.
#: No "--" in a label (punycode is checked below), and only for cells of up to 64 characters, so that no
#: length rule of RFC 5321 can be broken.
_ORDINARY = re.compile(
    r"[A-Za-z0-9!#$%&*+/=?^_`{|}~'-]++(?:\.[A-Za-z0-9!#$%&*+/=?^_`{|}~'-]++)*"
    r"@(?:[A-Za-z0-9]++(?:-[A-Za-z0-9]++)*\.)+[A-Za-z]{2,}+"
)
ORDINARY_CHARS = 64
is_ordinary = _ORDINARY.fullmatch

_INVISIBLE = " \t\r\n\v\f\u00a0\u00ad\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2060\u3000\ufeff"
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "(": ")", "[": "]"}
_IN_BRACKETS = re.compile(r"[^<>]*<([^<>]*)>")
_SEPARATORS = re.compile(r"[\s;,|/<>]+")
_LONGEST_CELL = 1_000
#: 64 before the @, 255 after it (RFC 5321, 4.5.3.1).
_LONGEST_LOCAL = 64
_LONGEST_ADDRESS = 320
_SHOWN_CHARS = 60
#: Nobody wraps an address so often, and each takes a look at the whole cell.
_MOST_WRAPPINGS = 10


def address_key(address: str) -> str:
    """Return what two spellings of one mailbox have in common: the whole address in lower case.

    RFC 5321 lets a server tell `Ann@` from `ann@`; in practice none does, and paying twice for one
    mailbox is real.
    """
    return address.lower()


def looks_like_address(cell: str) -> bool:
    """Say whether a cell holds one address; for finding the column, so without the thorough look."""
    return "@" in cell and len(cell) <= _LONGEST_CELL and is_ordinary(_unwrap(cell)) is not None


def normalise(raw: str) -> str:
    """Return the address in a cell: wrapping removed, local part as written, domain ASCII lower case.

    Raises `ValueError` with a reason that a person can act on.
    """
    if len(raw) <= ORDINARY_CHARS and is_ordinary(raw):
        return _lower_domain(raw)
    if len(raw) > _LONGEST_CELL:
        raise ValueError("the e-mail cell is too long to be an address")
    address = _unwrap(raw)
    _refuse_obvious(address)
    return _validate(address)


def _unwrap(raw: str) -> str:
    """Take off what surrounds an address: spaces, quotes, `mailto:`, `Name <…>`, a trailing `;`."""
    text, before = raw.strip(_INVISIBLE), None
    for _ in range(_MOST_WRAPPINGS):
        if not text or text == before:
            break
        before = text
        if text[:7].lower() == "mailto:":
            text = text[7:].partition("?")[0]
        if (closing := _QUOTES.get(text[0])) and text.endswith(closing) and len(text) > 1:
            text = text[1:-1]
        if text.endswith(">") and (match := _IN_BRACKETS.fullmatch(text)):
            text = match[1]
        text = text.rstrip(";,.:" + _INVISIBLE).lstrip(_INVISIBLE)
    return text


def _refuse_obvious(address: str) -> None:
    if not address:
        raise ValueError("no e-mail address in this row")
    shown = _shown(address)
    if "@" not in address:
        raise ValueError(f"{shown} is not an e-mail address: it has no @")
    parts = sum(1 for part in _SEPARATORS.split(address) if "@" in part[1:-1])
    if parts > 1 and '"' not in address:
        count = "two" if parts == 2 else str(parts)
        raise ValueError(f"{count} addresses in one cell; put each into a row of its own")
    if address.startswith("@"):
        raise ValueError(f"{shown} has nothing before the @")
    if address.endswith("@"):
        raise ValueError(f"{shown} has nothing after the @")
    if len(address) > _LONGEST_ADDRESS:
        raise ValueError(f"{shown} is too long to be an e-mail address")


def _shown(address: str) -> str:
    return repr(address if len(address) <= _SHOWN_CHARS else address[:_SHOWN_CHARS] + "…")


def _lower_domain(address: str) -> str:
    local, _, domain = address.partition("@")
    return f"{local}@{domain.lower()}"


def _validate(address: str) -> str:
    if len(address) <= ORDINARY_CHARS and is_ordinary(address):
        return _lower_domain(address)
    local, _, domain = address.rpartition("@")
    try:
        if len(local) <= _LONGEST_LOCAL and is_ordinary(f"{local}@example.com"):
            return f"{local}@{_to_ascii(domain)}"
        found = _look_thoroughly(address)
    except EmailNotValidError as error:
        raise ValueError(f"{_shown(address)} is not an e-mail address: {error}") from None
    return f"{found.local_part}@{found.ascii_domain.lower()}"


@lru_cache(maxsize=10_000)
def _to_ascii(domain: str) -> str:
    # A list names the same few domains again and again, and IDNA takes a fifth of a millisecond.
    return _look_thoroughly(f"a@{domain}").ascii_domain.lower()


def _look_thoroughly(address: str) -> ValidatedEmail:
    return validate_email(
        address,
        check_deliverability=False,
        allow_quoted_local=True,
        strict=True,
        test_environment=True,
    )
