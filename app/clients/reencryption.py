"""Encrypt the stored secrets anew, after a new key was put in front of ENCRYPTION_KEYS."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from app.crypto import reencrypt
from app.errors import Misconfigured

_SECRETS = text("SELECT id, hint, secret_encrypted FROM api_keys ORDER BY id FOR UPDATE")
_UPDATE = text("UPDATE api_keys SET secret_encrypted = :secret WHERE id = :id")
_AUDIT = text(
    "SELECT audit('keys.reencrypted', NULL, jsonb_build_object('keys', CAST(:n AS integer)))"
)


@dataclass(frozen=True)
class Reencrypted:
    """How many secrets were encrypted anew, and how many had the newest key already."""

    changed: int
    unchanged: int


def reencrypt_all(owner: Connection) -> Reencrypted:
    """Encrypt every stored secret with the first of ENCRYPTION_KEYS, in the caller's transaction: all or none.

    On the owner's connection. Doing it again changes nothing. Raises `Misconfigured` naming the key whose secret none of
    ENCRYPTION_KEYS opens; then none was changed.
    """
    changed = 0
    rows = owner.execute(_SECRETS).all()
    for row in rows:
        try:
            new = reencrypt(row.secret_encrypted)
        except Misconfigured as error:
            raise Misconfigured(f"Key …{row.hint} ({row.id}): {error.message}") from error
        if new is not None:
            owner.execute(_UPDATE, {"id": row.id, "secret": new})
            changed += 1
    if changed:
        owner.execute(_AUDIT, {"n": changed})
    return Reencrypted(changed, len(rows) - changed)
