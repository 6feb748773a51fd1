"""Passwords: argon2id, and the same time for an unknown person as for a wrong password."""

from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import InvalidInput

#: Library defaults follow RFC 9106, section 4 (low memory); they rise with its releases, and `needs_rehash` follows.
_HASHER = PasswordHasher()
MIN_LENGTH = 8
#: Hashing costs time for each byte; longer than this is not a password.
MAX_LENGTH = 256


@lru_cache
def _stand_in() -> str:
    return _HASHER.hash("nobody has this password")


def hash_password(password: str) -> str:
    """Return the hash to store. Raises `InvalidInput` for a length outside 8 to 256 characters."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InvalidInput(f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters.")
    return _HASHER.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """Tell whether the password fits; `stored` None (nobody by that name) takes as long and says no."""
    if len(password) > MAX_LENGTH:
        return False
    try:
        fits = _HASHER.verify(_stand_in() if stored is None else stored, password)
    except (VerificationError, InvalidHashError):
        return False
    return fits and stored is not None


def rehash_if_outdated(stored: str, password: str) -> str | None:
    """Return a new hash when `stored` was made with other parameters than today's, else None."""
    return _HASHER.hash(password) if _HASHER.check_needs_rehash(stored) else None
