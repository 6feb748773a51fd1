"""People: `Account` is who somebody is in one request, read from the database for each request.

So a person who is deactivated, moved or given another role is so at the next request. Writing people is the
installation's operator's, on the owner's connection; a new client's first person is made with it (`app/clients/new_client.py`).
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast, get_args
from uuid import UUID

from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import IntegrityError

from app.accounts.passwords import hash_password, rehash_if_outdated, verify_password
from app.crypto import derive_key
from app.errors import Conflict, InvalidInput, NotFound, Unauthenticated

Role = Literal["member", "admin", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
_ADDRESS = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")

_BY_EMAIL = text("SELECT * FROM auth_user(:email)")
_BY_ID = text("SELECT * FROM auth_user(NULL, :id)")
_BY_SESSION = text("""
    SELECT * FROM auth_user(NULL, :id) WHERE NOT EXISTS (SELECT 1 FROM ended_sessions WHERE id = :session)
""")
_TOUCH = text("SELECT auth_touch(:id, :checked, :new)")
_END_SESSION = text("SELECT auth_end_session(:session, :until)")
_INSERT = text("""
    INSERT INTO users (tenant_id, email, role, password_hash) VALUES (:tenant_id, :email, :role, :hash) RETURNING id
""")
_LIST = text("""
    SELECT u.id, u.email, u.role, u.is_active, u.last_login_at, t.slug FROM users u
    LEFT JOIN tenants t ON t.id = u.tenant_id ORDER BY t.slug NULLS FIRST, u.email
""")


@dataclass(frozen=True)
class Account:
    """A person who is signed in. `stamp` changes with the password: what carries an old one is void."""

    id: UUID
    email: str
    role: Role
    tenant_id: UUID | None
    tenant_slug: str | None
    tenant_name: str | None
    stamp: str

    @property
    def is_operator(self) -> bool:
        """Whether this person runs the installation."""
        return self.role == "operator"


def normalise_email(email: str) -> str:
    """Return the address as it is stored: trimmed, lower case."""
    return email.strip().lower()


def check_email(email: str) -> str:
    """Return the address as it is stored. Raises `InvalidInput` for what is none."""
    email = normalise_email(email)
    if not _ADDRESS.fullmatch(email):
        raise InvalidInput(f"{email!r} is not an e-mail address.")
    return email


def _stamp(password_hash: str) -> str:
    return hmac.new(derive_key("login stamp"), password_hash.encode(), hashlib.sha256).hexdigest()[
        :16
    ]


def account_of(row: Row[Any] | None) -> Account | None:
    """Return the person of a row of `auth_user`, None for no row and for somebody who is switched off."""
    if row is None or not row.is_active:
        return None
    return Account(
        id=row.id,
        email=row.email,
        role=cast("Role", row.role),
        tenant_id=row.tenant_id,
        tenant_slug=row.tenant_slug,
        tenant_name=row.tenant_name,
        stamp=_stamp(row.password_hash),
    )


def get_account(connection: Connection, user_id: UUID) -> Account | None:
    """Return the active person with this id, else None."""
    return account_of(connection.execute(_BY_ID, {"id": user_id}).one_or_none())


def find_account(connection: Connection, user_id: UUID, stamp: str) -> Account | None:
    """Return the active person with this id whose password has not changed since `stamp`, else None."""
    account = get_account(connection, user_id)
    return account if account and hmac.compare_digest(account.stamp, stamp) else None


def find_session_account(
    connection: Connection, user_id: UUID, stamp: str, session_id: UUID
) -> Account | None:
    """Return the same person as `find_account`, None also when that session was signed out."""
    values = {"id": user_id, "session": session_id}
    account = account_of(connection.execute(_BY_SESSION, values).one_or_none())
    return account if account and hmac.compare_digest(account.stamp, stamp) else None


def revoke_session(connection: Connection, session_id: UUID, until: datetime) -> None:
    """End a session for good; `until` is when it would have ended by itself."""
    connection.execute(_END_SESSION, {"session": session_id, "until": until})


def authenticate(connection: Connection, email: str, password: str) -> Account:
    """Return who signs in. Raises `Unauthenticated`, in the same words and time whatever was wrong.

    A hash made with outdated parameters is replaced on the way, except an operator's: that is the owner's to write.
    """
    # PostgreSQL has no text with NUL in it: nobody has such an address.
    name = normalise_email(email).replace("\0", "\N{REPLACEMENT CHARACTER}")
    row = connection.execute(_BY_EMAIL, {"email": name}).one_or_none()
    fits = verify_password(row.password_hash if row else None, password)
    if row is None or not fits or not row.is_active:
        raise Unauthenticated("The e-mail address or the password is not right.")
    new = None if row.role == "operator" else rehash_if_outdated(row.password_hash, password)
    connection.execute(_TOUCH, {"id": row.id, "checked": row.password_hash, "new": new})
    # Read again: the stamp of a replaced hash is another.
    account = get_account(connection, row.id)
    if account is None:
        raise Unauthenticated("The e-mail address or the password is not right.")
    return account


def create_user(
    owner: Connection, email: str, password: str, role: Role, tenant_id: UUID | None
) -> UUID:
    """Add a person; return the id. Raises `InvalidInput`, or `Conflict` when the address is taken."""
    email = check_email(email)
    if role not in ROLES:
        raise InvalidInput(f"A role is one of {', '.join(ROLES)}.")
    if tenant_id is None and role != "operator":
        raise InvalidInput("A member or an admin belongs to a tenant: name it with --tenant.")
    values = {"tenant_id": tenant_id, "email": email, "role": role, "hash": hash_password(password)}
    try:
        with owner.begin_nested():
            return UUID(str(owner.execute(_INSERT, values).scalar_one()))
    except IntegrityError as error:
        raise Conflict(f"There is a user {email} already.") from error


def find_user_id(owner: Connection, email: str) -> UUID:
    """Return a person's id. Raises `NotFound`."""
    found = owner.execute(_BY_EMAIL, {"email": normalise_email(email)}).one_or_none()
    if found is None:
        raise NotFound(f"There is no user {normalise_email(email)}.")
    return UUID(str(found.id))


def list_users(owner: Connection) -> list[Row[tuple[object, ...]]]:
    """Return everybody: id, email, role, is_active, last_login_at, slug of the tenant."""
    return list(owner.execute(_LIST))


def set_active(owner: Connection, email: str, *, active: bool) -> None:
    """Let a person in again, or shut them out at their next request. Raises `NotFound`."""
    user_id = find_user_id(owner, email)
    owner.execute(
        text("UPDATE users SET is_active = :active WHERE id = :id"),
        {"active": active, "id": user_id},
    )


def set_password(owner: Connection, email: str, password: str) -> None:
    """Give a person another password; sessions and tokens made with the old one end."""
    user_id = find_user_id(owner, email)
    owner.execute(
        text("UPDATE users SET password_hash = :hash WHERE id = :id"),
        {"hash": hash_password(password), "id": user_id},
    )
