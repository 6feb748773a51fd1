"""Tokens for a client's programs: made, listed, revoked by people, never by a token.

What they do here, the page does through the same functions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from apiflask import APIBlueprint
from sqlalchemy import Connection

from app.accounts import api_tokens
from app.accounts.api_tokens import ApiToken
from app.accounts.users import Account
from app.clients.actor import acting_as
from app.db.scope import tenant_scope
from app.http.auth import people_only, require_tenant
from app.http.models_tokens import NewTokenOut, TokenIn, TokenListOut, TokenOut

tokens = APIBlueprint("tokens", __name__, url_prefix="/api/tokens", tag="Sign-in")


@tokens.get("")
@tokens.output(TokenListOut)
@tokens.doc(security="bearer")
@people_only
def list_tokens() -> TokenListOut:
    """List the tokens that one has made; an admin sees all of the client's."""
    return TokenListOut(tokens=[TokenOut.model_validate(token) for token in read_tokens()])


@tokens.post("")
@tokens.input(TokenIn, location="json")
@tokens.output(NewTokenOut, status_code=201)
@tokens.doc(security="bearer")
@people_only
def create_token(json_data: TokenIn) -> NewTokenOut:
    """Make a token. It is shown in this answer only."""
    made, secret = make(json_data)
    return NewTokenOut.model_validate({**vars(made), "token": secret})


@tokens.delete("/<uuid:token_id>")
@tokens.output({}, status_code=204)
@tokens.doc(security="bearer", responses=[404])
@people_only
def revoke_token(token_id: UUID) -> tuple[str, int]:
    """Make a token void, at once and for good."""
    revoke(token_id)
    return "", 204


def read_tokens() -> list[ApiToken]:
    """Return the tokens that who asks may see, newest first."""
    account, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        return api_tokens.list_tokens(connection, _whose(account))


def make(asked: TokenIn) -> tuple[ApiToken, str]:
    """Make a token of who asks; return it as it is seen, and itself, to be told once."""
    with _acting() as (connection, account):
        token_id, secret = api_tokens.create_token(
            connection, account.id, asked.name, asked.scopes, asked.expires_at
        )
        return api_tokens.get_token(connection, token_id), secret


def revoke(token_id: UUID) -> ApiToken:
    """Make a token void that who asks may revoke; return it. Raises `NotFound`."""
    with _acting() as (connection, account):
        api_tokens.revoke_token(connection, token_id, _whose(account))
        return api_tokens.get_token(connection, token_id)


@contextmanager
def _acting() -> Iterator[tuple[Connection, Account]]:
    """Open a transaction in who asks's client and name."""
    account, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        acting_as(connection, account.email)
        yield connection, account


def _whose(account: Account) -> UUID | None:
    return None if account.role == "admin" else account.id
