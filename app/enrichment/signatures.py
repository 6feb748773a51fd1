"""Who may tell us a late answer: what a vendor signed, or what only the vendor was told.

Everything is compared in constant time, over the body as it arrived. A body is read only after this.
"""

import base64
import hashlib
import hmac
from typing import Final

#: Keeps these tokens apart from everything else that may be signed with the same key.
_PURPOSE: Final = b"enrichment-callback-1"
_CLEARBIT_PREFIX: Final = b"sha1="


def verify_clearbit(signature: str | None, body: bytes, key_secret: str) -> bool:
    """Tell whether `signature` (the header X-Request-Signature) is Clearbit's over the raw `body`.

    `sha1=` and the hex HMAC-SHA1 under the account's key without its leading `sk_`, as Clearbit documents it. It
    has no time stamp: whoever reads the call must take each pending answer once.
    """
    key = key_secret.removeprefix("sk_").encode()
    expected = _CLEARBIT_PREFIX + hmac.new(key, body, hashlib.sha1).hexdigest().encode()
    # An empty key would make everybody a signer.
    return bool(key) and hmac.compare_digest(expected, _ascii(signature))


def make_token(key: bytes, *, tenant: str, request: str) -> str:
    """Make the part of a callback's address that nobody can guess: 43 characters of A-Z a-z 0-9 - and _.

    HMAC-SHA256 over tenant and request, for vendors that sign nothing (Apollo documents no signature). `key` has at
    least 32 bytes and is the installation's. Raises `ValueError` for a shorter one.
    """
    if len(key) < 32:
        raise ValueError("the key has at least 32 bytes")
    parts = (_PURPOSE, tenant.encode(), request.encode())
    # Lengths go first: ("ab", "c") and ("a", "bc") are two requests.
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    digest = hmac.new(key, message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def verify_token(token: str | None, key: bytes, *, tenant: str, request: str) -> bool:
    """Tell whether `token` was made for this tenant and request. Raises `ValueError` for a short key."""
    expected = make_token(key, tenant=tenant, request=request)
    return hmac.compare_digest(expected.encode(), _ascii(token))


def _ascii(text: str | None) -> bytes:
    """Bytes that can be compared with anything; what is not ASCII equals no signature."""
    return (text or "").encode("ascii", "replace")
