"""Cursors of lists: opaque to the caller, checked when they come back.

A cursor holds the key of the last row seen (keyset paging), so a page costs the same at any depth and rows that arrive
meanwhile shift nothing. It gives no rights: whose rows are seen is row-level security's.
"""

import base64
import binascii
import re
from uuid import UUID

from app.errors import InvalidInput

_SLUG = re.compile(r"[a-z0-9-]{1,63}")


def _encode(kind: str, value: str) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{value}".encode()).decode().rstrip("=")


def _decode(kind: str, cursor: str) -> str:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found, _, value = (
            base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
        )
    except (binascii.Error, UnicodeDecodeError, ValueError):
        found, value = "", ""
    if found != kind or not value:
        raise InvalidInput(
            "The cursor is not one that this list gave out; start without one.", field="cursor"
        )
    return value


def encode_job(job_id: UUID) -> str:
    """Return the cursor after a job."""
    return _encode("j", job_id.hex)


def decode_job(cursor: str) -> UUID:
    """Return the job that a cursor comes after. Raises `InvalidInput`."""
    try:
        return UUID(hex=_decode("j", cursor))
    except ValueError:
        return decode_job("")


def encode_item(item_no: int) -> str:
    """Return the cursor after an item."""
    return _encode("i", str(item_no))


def decode_item(cursor: str) -> int:
    """Return the item number that a cursor comes after. Raises `InvalidInput`."""
    value = _decode("i", cursor)
    return (
        int(value) if value.isascii() and value.isdigit() and len(value) < 10 else decode_item("")
    )


def encode_event(event_id: int) -> str:
    """Return the cursor after an event of the audit."""
    return _encode("a", str(event_id))


def decode_event(cursor: str) -> int:
    """Return the event that a cursor comes after. Raises `InvalidInput`."""
    value = _decode("a", cursor)
    return (
        int(value) if value.isascii() and value.isdigit() and len(value) < 19 else decode_event("")
    )


def encode_call(event_id: int) -> str:
    """Return the cursor after a call from outside."""
    return _encode("w", str(event_id))


def decode_call(cursor: str) -> int:
    """Return the call that a cursor comes after. Raises `InvalidInput`."""
    value = _decode("w", cursor)
    return (
        int(value) if value.isascii() and value.isdigit() and len(value) < 19 else decode_call("")
    )


def encode_delivery(delivery_id: int) -> str:
    """Return the cursor after a delivery."""
    return _encode("d", str(delivery_id))


def decode_delivery(cursor: str) -> int:
    """Return the delivery that a cursor comes after. Raises `InvalidInput`."""
    value = _decode("d", cursor)
    is_number = value.isascii() and value.isdigit() and len(value) < 19
    return int(value) if is_number else decode_delivery("")


def encode_client(slug: str) -> str:
    """Return the cursor after a client."""
    return _encode("c", slug)


def decode_client(cursor: str) -> str:
    """Return the slug of the client that a cursor comes after. Raises `InvalidInput`."""
    value = _decode("c", cursor)
    return value if _SLUG.fullmatch(value) else decode_client("")
