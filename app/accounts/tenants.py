"""Tenants: the clients of the installation. Written by its operator, on the owner's connection."""

import re
from uuid import UUID

from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, InvalidInput, NotFound
from app.plain_text import require_plain

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_INSERT = text(
    "INSERT INTO tenants (name, slug, weight) VALUES (:name, :slug, :weight) RETURNING id"
)
_NAMESAKES = text("SELECT slug FROM clients_named(:name)")
_LIST = text("""
    SELECT t.id, t.slug, t.name, t.weight, l.queue, (SELECT count(*) FROM users u WHERE u.tenant_id = t.id) AS users
    FROM tenants t LEFT JOIN tenant_lanes l ON l.tenant_id = t.id ORDER BY t.slug
""")


def create_tenant(owner: Connection, name: str, slug: str, weight: int = 1) -> UUID:
    """Add a client; `weight` is its share of a shared lane. Raises `InvalidInput` or `Conflict`."""
    check_tenant(name, slug)
    if not 1 <= weight <= 100:
        raise InvalidInput("A weight is 1 to 100.")
    values = {"name": name.strip(), "slug": slug, "weight": weight}
    try:
        with owner.begin_nested():
            return UUID(str(owner.execute(_INSERT, values).scalar_one()))
    except IntegrityError as error:
        raise Conflict(f"There is a tenant {slug} already.") from error


def namesakes_in_words(connection: Connection, name: str, slug: str) -> str | None:
    """Return a sentence with the other clients than `slug` that have this name, None: there are none.

    Two may have one, and people mix them up.
    """
    found = connection.execute(_NAMESAKES, {"name": name}).scalars()
    others = [str(other) for other in found if other != slug]
    if not others:
        return None
    shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
    return f"There is another client with the name {name.strip()}: {shown}."


def check_tenant(name: str, slug: str) -> None:
    """Raise `InvalidInput` for a name or a slug that no client can have."""
    if not name.strip():
        raise InvalidInput("A tenant needs a name.")
    require_plain("A name", name)
    if not _SLUG.fullmatch(slug):
        raise InvalidInput(
            "A slug has lower-case letters, digits and hyphens, at most 63: acme-gmbh."
        )
    if _reads_as_id(slug):
        raise InvalidInput(f"The slug {slug} reads as an id: it would be taken for another client.")


def _reads_as_id(slug: str) -> bool:
    try:
        UUID(slug)
    except ValueError:
        return False
    return True


def find_tenant_id(owner: Connection, slug: str) -> UUID:
    """Return a tenant's id. Raises `NotFound`."""
    query = text("SELECT id FROM tenants WHERE slug = :slug")
    found = owner.execute(query, {"slug": slug}).scalar_one_or_none()
    if found is None:
        raise NotFound(f"There is no tenant {slug}; `tenants list` shows them.")
    return UUID(str(found))


def list_tenants(owner: Connection) -> list[Row[tuple[object, ...]]]:
    """Return every client: id, slug, name, weight, queue of its own lane (or None), number of users."""
    return list(owner.execute(_LIST))
