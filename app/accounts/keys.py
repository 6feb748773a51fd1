"""Provider keys: kept encrypted, told apart by fingerprint, shown by hint. Written on the owner's connection."""

from uuid import UUID

from sqlalchemy import Connection, Row, text

from app.crypto import encrypt, fingerprint, hint
from app.errors import Conflict, InvalidInput

PROVIDERS = ("mailtester",)
_INSERT = text("""
    INSERT INTO api_keys (tenant_id, provider, fingerprint, secret_encrypted, hint, spacing_ms, requests_per_window,
        window_seconds, daily_limit, notes)
    VALUES (:tenant_id, :provider, :fingerprint, :secret, :hint, :spacing_ms, :per_window, 30, :daily_limit, :notes)
    ON CONFLICT DO NOTHING RETURNING id
""")
_LIST = text("SELECT * FROM keys_overview()")
_MAX_SECRET = 512


def add_key(
    owner: Connection,
    secret: str,
    *,
    tenant_id: UUID | None,
    provider: str = "mailtester",
    spacing_ms: int = 250,
    per_30s: int | None = 165,
    daily_limit: int | None = 500_000,
    notes: str | None = None,
) -> UUID:
    """Add a key of a tenant, or of the platform (`tenant_id` None), with the limits its plan has.

    Raises `InvalidInput`, or `Conflict` when the tenant has this very key already.
    """
    if provider not in PROVIDERS:
        raise InvalidInput(f"A provider is one of {', '.join(PROVIDERS)}.")
    if not 8 <= len(secret) <= _MAX_SECRET or any(
        c.isspace() or not c.isprintable() for c in secret
    ):
        raise InvalidInput("A key has 8 to 512 printable characters without spaces.")
    if (
        spacing_ms < 0
        or (per_30s is not None and per_30s < 1)
        or (daily_limit is not None and daily_limit < 1)
    ):
        raise InvalidInput("The spacing is 0 ms or more; the other limits are 1 or more.")
    found = owner.execute(
        _INSERT,
        {
            "tenant_id": tenant_id,
            "provider": provider,
            "fingerprint": fingerprint(provider, secret),
            "secret": encrypt(secret),
            "hint": hint(secret),
            "spacing_ms": spacing_ms,
            "per_window": per_30s,
            "daily_limit": daily_limit,
            "notes": notes,
        },
    ).scalar_one_or_none()
    if found is None:
        raise Conflict("This key has been added already.")
    return UUID(str(found))


def list_keys(connection: Connection) -> list[Row[tuple[object, ...]]]:
    """Return every key without its secret: for operators only."""
    return list(connection.execute(_LIST))
