"""A client that is not there yet, with its first person: checked before anything is made, and made together.

Both the web's role and the owner may: one function of the schema does it, and can do no more.
"""

import re
import secrets
import unicodedata
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from app.accounts.passwords import hash_password
from app.accounts.tenants import check_tenant, namesakes_in_words
from app.accounts.users import check_email
from app.db.refusals import refusals_explained
from app.errors import Conflict, InvalidInput

_TENANT_ID = text("SELECT tenant_id_of(:slug)")
_CREATE = text("SELECT * FROM client_create(:slug, :name, :email, :hash)")
#: A lane is named after it, and leaves room for no more.
_SLUG_LENGTH = 50


@dataclass(frozen=True)
class NewClient:
    """Who was made; `password` is the person's, to be told once."""

    tenant_id: UUID
    user_id: UUID
    password: str


def suggest_slug(name: str) -> str:
    """Return a short name for a client's name: `Söhne & Co.` is sohne-co. Raises `InvalidInput` where nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG_LENGTH].rstrip("-")
    if not slug:
        raise InvalidInput(
            "No short name can be made of this name: give one, with letters a to z.", field="slug"
        )
    return slug


def check_new(connection: Connection, name: str, slug: str, email: str) -> None:
    """Raise `InvalidInput` or `Conflict` for a client that could not be made."""
    check_tenant(name, slug)
    check_email(email)
    if connection.execute(_TENANT_ID, {"slug": slug}).scalar_one() is not None:
        raise Conflict(
            f"There is a client {slug} already. Choose another short name, or give the e-mail of one of its people."
        )


def namesake_notes(connection: Connection, name: str, slug: str) -> list[str]:
    """Return a sentence where other clients than `slug` have this name: two may, and people mix them up."""
    found = namesakes_in_words(connection, name, slug)
    if found is None:
        return []
    how = "If it is the same one, give the e-mail of one of its people instead; "
    return [f"{found} {how}else tell them apart by the short name, {slug}."]


def make_client(connection: Connection, name: str, slug: str, email: str) -> NewClient:
    """Make a client and its first person, an admin, with a password made up here; the caller commits.

    Raises as `check_new` does.
    """
    check_new(connection, name, slug, email)
    password = secrets.token_urlsafe(15)
    values = {"slug": slug, "name": name.strip(), "email": email, "hash": hash_password(password)}
    with refusals_explained():
        made = connection.execute(_CREATE, values).one()
    return NewClient(made.tenant_id, made.user_id, password)
