"""One spelling for what is known of a lead, so that the same person asked about twice is the same question.

Nothing is guessed here: what can't be read is refused, with the name of the field and never its content.
"""

import re
import unicodedata
from urllib.parse import SplitResult, urlsplit

from app.errors import InvalidInput
from app.mail_addresses import parse_address

#: Longer than any name or address that means one (RFC 5321 has 254 for an e-mail).
MAX_LENGTH = 500
#: Nothing that a web address would have beside its host.
_PLAIN_HOST = re.compile(r"[A-Za-z0-9.-]+")
#: Field -> what people call it, and one that can be read.
_EXAMPLES = {
    "domain": ("the domain", "acme.example"),
    "email": ("the e-mail", "ann@acme.example"),
    "linkedin_url": ("the LinkedIn address", "https://linkedin.com/in/ann"),
}


def normal_text(value: str, field: str) -> str:
    """Return `value` composed (NFC), printable, with single spaces. Raises `InvalidInput` when too long."""
    if len(value) > MAX_LENGTH:
        raise InvalidInput(f"{field} has more than {MAX_LENGTH} characters.", field=field)
    if value.isascii() and value.isprintable():
        return " ".join(value.split())
    text = "".join(
        char if char.isprintable() else " " for char in unicodedata.normalize("NFC", value)
    )
    return " ".join(text.split())


def normal_domain(value: str, field: str = "domain") -> str:
    """Return the domain in lower-case ASCII (IDNA 2008), also of a web address; "" of nothing.

    A leading `www.` is left out: lists hold a company's web address where they say domain. Raises `InvalidInput`.
    """
    text = normal_text(value, field)
    if not text:
        return ""
    if _PLAIN_HOST.fullmatch(text):
        host = text.lower()
    else:
        parts = _split(text if "//" in text else f"//{text}")
        host = parts.hostname or "" if parts else ""
    host = host.rstrip(".").removeprefix("www.")
    return _address(f"someone@{host}", field)[1]


def normal_email(value: str, field: str = "email") -> str:
    """Return the address with its domain in lower-case ASCII; "" of nothing. Raises `InvalidInput`."""
    text = normal_text(value, field)
    return "@".join(_address(text, field)) if text else ""


def normal_url(value: str, field: str) -> str:
    """Return a web address as `https://host/path`; "" of nothing. Raises `InvalidInput` for anything else.

    Query, fragment and the last slash are left out: on profile pages they say where a visitor came from.
    """
    text = normal_text(value, field)
    if not text:
        return ""
    parts = _split(text if "//" in text else f"//{text}")
    if parts is None or parts.scheme not in {"", "http", "https"} or "@" in parts.netloc:
        raise _unreadable(field)
    return f"https://{normal_domain(parts.hostname or '-', field)}{parts.path.rstrip('/')}"


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        return parts if parts.hostname else None
    except ValueError:
        return None


def _unreadable(field: str) -> InvalidInput:
    name, example = _EXAMPLES.get(field, (field, "https://acme.example"))
    return InvalidInput(f"{name} must be like {example}.", field=field)


def _address(text: str, field: str) -> tuple[str, str]:
    try:
        found = parse_address(text)
    except InvalidInput:
        found = None
    # Outside the `except`: what is said there quotes the address.
    if found is None:
        raise _unreadable(field)
    return found.local, found.domain
