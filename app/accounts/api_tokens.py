"""Tokens for programs: made by a person, shown once, kept as a hash, good within their scopes until revoked.

A token is `lw_` and 43 random characters. It acts for the person who made it: with that person's rights, if the scopes have
them, and not at all when the person is gone, switched off, or with another client.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final, Literal, get_args
from uuid import UUID

from sqlalchemy import Connection, text

from app.errors import InvalidInput, NotFound

Scope = Literal["jobs:read", "jobs:write", "webhooks:read", "webhooks:write"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
PREFIX: Final = "lw_"
_FORM = re.compile(r"lw_[A-Za-z0-9_-]{43}")

_INSERT = text("""
    INSERT INTO api_tokens (user_id, name, hash, hint, scopes, expires_at)
    VALUES (:user, :name, :hash, :hint, :scopes, :expires_at) RETURNING id
""")
_FIELDS = """
    t.id, t.name, t.hint, t.scopes, t.created_at, t.expires_at, t.last_used_at, t.revoked_at, u.email AS made_by
    FROM api_tokens t LEFT JOIN users u ON u.id = t.user_id
"""
_LIST = text(f"""
    SELECT {_FIELDS} WHERE CAST(:user AS uuid) IS NULL OR t.user_id = :user ORDER BY t.created_at DESC
""")
_GET = text(f"SELECT {_FIELDS} WHERE t.id = :id")
_LIST_ALL = text("""
    SELECT t.*, u.email AS made_by, c.slug FROM api_tokens t JOIN users u ON u.id = t.user_id JOIN tenants c ON c.id = t.tenant_id
    WHERE (CAST(:tenant AS uuid) IS NULL OR t.tenant_id = :tenant) AND (CAST(:user AS uuid) IS NULL OR t.user_id = :user)
    ORDER BY c.slug, t.created_at DESC
""")
_REVOKE = text("""
    UPDATE api_tokens SET revoked_at = coalesce(revoked_at, clock_timestamp())
    WHERE id = :id AND (CAST(:user AS uuid) IS NULL OR user_id = :user)
""")


@dataclass(frozen=True)
class ApiToken:
    """A token as people see it: by its last four characters."""

    id: UUID
    name: str
    hint: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    made_by: str | None
    #: Of its client; told to those who see the tokens of several.
    slug: str | None = None

    @property
    def state(self) -> Literal["good", "expired", "revoked"]:
        """Whether it opens anything still, as far as the token itself goes."""
        if self.revoked_at:
            return "revoked"
        has_ended = self.expires_at is not None and self.expires_at <= datetime.now(UTC)
        return "expired" if has_ended else "good"


@dataclass(frozen=True)
class TokenClaim:
    """What a good token says: for whom, and what it may do."""

    token_id: UUID
    user_id: UUID
    tenant_id: UUID
    scopes: frozenset[str]


def looks_like_one(token: str) -> bool:
    """Whether it has the form of an API token."""
    return _FORM.fullmatch(token) is not None


def hash_of(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


def good_through(day: date) -> datetime:
    """Return when a token ends whose last good day is this one, in UTC."""
    return datetime.combine(day, time.max, UTC)


def create_token(
    connection: Connection,
    user_id: UUID,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
) -> tuple[UUID, str]:
    """Make a token of the scope's tenant; return its id and the token, which can't be had again.

    Raises `InvalidInput` for one that would be void from the beginning.
    """
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise InvalidInput(
            "A token's end lies ahead: give a later time, or none.", field="expiresAt"
        )
    token = PREFIX + secrets.token_urlsafe(32)
    values = {
        "user": user_id,
        "name": name,
        "hash": hash_of(token),
        "hint": token[-4:],
        "scopes": sorted(set(scopes)),
        "expires_at": expires_at,
    }
    return connection.execute(_INSERT, values).scalar_one(), token


def list_tokens(connection: Connection, user_id: UUID | None) -> list[ApiToken]:
    """Return the tokens that a person made (None: of the whole client), newest first."""
    rows = connection.execute(_LIST, {"user": user_id})
    return [ApiToken(**row._mapping) for row in rows]


def list_all_tokens(
    owner: Connection, tenant_id: UUID | None, user_id: UUID | None
) -> list[ApiToken]:
    """Return the tokens of a client, of a person or of everybody, on the owner's connection."""
    rows = owner.execute(_LIST_ALL, {"tenant": tenant_id, "user": user_id})
    names = ApiToken.__dataclass_fields__
    return [ApiToken(**{name: getattr(row, name) for name in names}) for row in rows]


def get_token(connection: Connection, token_id: UUID) -> ApiToken:
    """Return a token. Raises `NotFound`."""
    row = connection.execute(_GET, {"id": token_id}).one_or_none()
    if row is None:
        raise NotFound("There is no such token.")
    return ApiToken(**row._mapping)


def revoke_token(connection: Connection, token_id: UUID, user_id: UUID | None) -> None:
    """Make a token void, at once and for good; a person's own, or any of the client's (None). Raises `NotFound`."""
    if connection.execute(_REVOKE, {"id": token_id, "user": user_id}).rowcount == 0:
        raise NotFound("There is no such token.")
