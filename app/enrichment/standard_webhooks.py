"""Inbound calls in the form of Standard Webhooks: who signed them, and how old they may be.

Source: the specification at standardwebhooks.com. The signature is over `id.timestamp.body`, the body as it arrived;
the header may list several, so that a sender can change its secret; and we may know several, so that we can. Everything is
compared in constant time.

The library that signs what we send (`standardwebhooks`) can't verify what we get. It reads the body as UTF-8 and fails on
another; it signs the moment as it reads it, not as it was sent, so that `1.0` passes for `1`; it fails with errors of all kinds
on a signature without a comma; it takes neither another secret than base64 nor a clock. The tests hold ours against it where both
can tell.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from typing import Final

#: A call that is older, or comes from so far in the future, may be a recorded one that is sent again.
TOLERANCE_SECONDS: Final = 300
#: No honest sender is near it; what is longer is not compared.
_MOST_SIGNATURES: Final = 10
_MOST_CHARACTERS: Final = 256


def verify(
    headers: Mapping[str, str], body: bytes, secret: str, *, now: float | None = None
) -> str | None:
    """Return the sender's id of the call (`webhook-id`) if `secret` signed it lately; None: it is not to be believed.

    `secret` is `whsec_` and base64, or else is taken as it is. `headers` are by their names in lower case.
    """
    event_id = headers.get("webhook-id", "")
    moment, given = headers.get("webhook-timestamp", ""), headers.get("webhook-signature", "")
    if not _is_name(event_id) or not _is_recent(moment, now):
        return None
    signed = b".".join((event_id.encode(), moment.encode(), body))
    digest = hmac.new(_key_of(secret), signed, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(digest)
    candidates = given.split(" ", _MOST_SIGNATURES)[:_MOST_SIGNATURES]
    # All are compared, so that the time says nothing of which one it was.
    matches = [hmac.compare_digest(expected, one.encode("utf-8", "replace")) for one in candidates]
    return event_id if any(matches) else None


def verify_any(
    headers: Mapping[str, str], body: bytes, secrets: Iterable[str], *, now: float | None = None
) -> str | None:
    """Return what `verify` does for the first of the secrets that signed it: while one is changed, both are good."""
    found = (verify(headers, body, secret, now=now) for secret in secrets)
    return next((event_id for event_id in found if event_id is not None), None)


def _is_name(event_id: str) -> bool:
    return 0 < len(event_id) <= _MOST_CHARACTERS and event_id.isascii() and event_id.isprintable()


def _is_recent(moment: str, now: float | None) -> bool:
    if not (moment.isascii() and moment.isdigit() and len(moment) <= 12):
        return False
    return abs(int(moment) - (time.time() if now is None else now)) <= TOLERANCE_SECONDS


def _key_of(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if key:
            return key
    return secret.encode()
