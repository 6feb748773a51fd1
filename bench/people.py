"""People of a benchmark who use the API: a user of a client with a token, without the cost of a real password."""

from uuid import UUID

from sqlalchemy import text

from app.accounts.tokens import issue_token
from app.accounts.users import get_account
from app.db.scope import system_scope
from bench.installation import Installation

_ADD = text("""
    INSERT INTO users (tenant_id, email, role, password_hash) VALUES (:tenant, :email, 'member', 'none') RETURNING id
""")


def add_person(installation: Installation, tenant_id: UUID, email: str) -> str:
    """Add a person to a client; return an access token."""
    with installation.owner.begin() as connection:
        user = connection.execute(_ADD, {"tenant": tenant_id, "email": email}).scalar_one()
    with system_scope(installation.app) as connection:
        account = get_account(connection, user)
    assert account is not None
    return issue_token(account)[0]
