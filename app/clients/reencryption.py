"""Encrypt the stored secrets anew, after a new key was put in front of ENCRYPTION_KEYS."""

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Connection, TextClause, text

from app.crypto import reencrypt
from app.errors import Misconfigured


@dataclass(frozen=True)
class _Store:
    """A column of secrets: how rows are read (id, label, secret) and written."""

    what: str
    rows: TextClause
    update: TextClause

    @classmethod
    def of(
        cls, what: str, table: str, label: str, column: str = "secret_encrypted", id_: str = "id"
    ) -> Self:
        """Name a column; rows without a secret are left out."""
        rows = f"""SELECT {id_} AS id, {label} AS label, {column} AS secret FROM {table}
                   WHERE {column} IS NOT NULL ORDER BY {id_} FOR UPDATE"""  # noqa: S608 - the names below
        update = f"UPDATE {table} SET {column} = :secret WHERE {id_} = :id"  # noqa: S608 - the names below
        return cls(what, text(rows), text(update))


_STORES = (
    _Store.of("Key", "api_keys", "'\u2026' || hint"),
    _Store.of("Webhook endpoint", "webhook_endpoints", "left(url, 80)"),
    _Store.of("Webhook endpoint", "webhook_endpoints", "left(url, 80)", "previous_encrypted"),
    _Store.of("Webhook secret", "webhook_secrets", "'of the client'", id_="tenant_id"),
    _Store.of(
        "Webhook secret", "webhook_secrets", "'of the client'", "previous_encrypted", "tenant_id"
    ),
)
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

    Those of keys, of webhook endpoints and of clients' webhooks. On the owner's connection. Doing it again changes nothing. Raises `Misconfigured` naming the one that none of
    ENCRYPTION_KEYS opens; then none was changed.
    """
    changed = total = 0
    for store in _STORES:
        for row in owner.execute(store.rows).all():
            try:
                new = reencrypt(row.secret)
            except Misconfigured as error:
                raise Misconfigured(
                    f"{store.what} {row.label} ({row.id}): {error.message}"
                ) from error
            total += 1
            if new is not None:
                owner.execute(store.update, {"id": row.id, "secret": new})
                changed += 1
    if changed:
        owner.execute(_AUDIT, {"n": changed})
    return Reencrypted(changed, total - changed)
