"""Secrets at rest: encrypted with Fernet, recognised by fingerprint, shown by their last four characters.

A secret's plain text exists in memory only while it is used. The newest of ENCRYPTION_KEYS encrypts, all of them
decrypt, so a key is rotated by putting a new one in front.
"""

import hashlib
import hmac
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from app.errors import Misconfigured
from app.settings import get_settings


def _split(keys: str) -> list[str]:
    return [key.strip() for key in keys.split(",") if key.strip()]


@lru_cache
def _box(keys: str) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in _split(keys)])
    except ValueError as error:
        raise Misconfigured(
            "ENCRYPTION_KEYS must hold Fernet keys (32 bytes, URL-safe base64), separated by commas."
        ) from error


def _current_box() -> MultiFernet:
    return _box(get_settings().encryption_keys.get_secret_value())


def encrypt(secret: str) -> bytes:
    """Return the secret encrypted with the newest key. Raises `Misconfigured` for unusable keys."""
    return _current_box().encrypt(secret.encode())


def decrypt(encrypted: bytes) -> str:
    """Return the plain secret. Raises `Misconfigured` when none of ENCRYPTION_KEYS fits."""
    try:
        return _current_box().decrypt(bytes(encrypted)).decode()
    except InvalidToken as error:
        raise Misconfigured(
            "A stored secret was encrypted with a key that ENCRYPTION_KEYS no longer holds. Add that key again."
        ) from error


def reencrypt(encrypted: bytes) -> bytes | None:
    """Return the secret encrypted with the newest key, None when it is already.

    Raises `Misconfigured` when none of ENCRYPTION_KEYS fits.
    """
    newest = _box(_split(get_settings().encryption_keys.get_secret_value())[0])
    try:
        newest.decrypt(bytes(encrypted))
    except InvalidToken:
        return encrypt(decrypt(encrypted))
    return None


def derive_key(purpose: str) -> bytes:
    """Return 32 bytes from SECRET_KEY for one purpose, so that no two uses share a key."""
    root = get_settings().secret_key.get_secret_value().encode()
    return hmac.new(root, b"laneway " + purpose.encode(), hashlib.sha256).digest()


def fingerprint(provider: str, secret: str) -> str:
    """Return 32 hex digits that tell a provider's keys apart and say nothing about the secret."""
    message = f"{provider}\0{secret}".encode()
    return hmac.new(derive_key("key fingerprint"), message, hashlib.sha256).hexdigest()[:32]


def hint(secret: str) -> str:
    """Return the last four characters, what people may see. Of a short secret, nothing."""
    return secret[-4:] if len(secret) >= 8 else ""
