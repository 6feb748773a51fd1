"""Tokens for a client's programs: made, listed, revoked by people, never by a token."""

from uuid import UUID

from apiflask import APIBlueprint

from app.accounts import api_tokens
from app.accounts.users import Account
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
    account, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        found = api_tokens.list_tokens(connection, _whose(account))
    return TokenListOut(tokens=[TokenOut.model_validate(token) for token in found])


@tokens.post("")
@tokens.input(TokenIn, location="json")
@tokens.output(NewTokenOut, status_code=201)
@tokens.doc(security="bearer")
@people_only
def create_token(json_data: TokenIn) -> NewTokenOut:
    """Make a token. It is shown in this answer only."""
    account, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        token_id, secret = api_tokens.create_token(
            connection, account.id, json_data.name, json_data.scopes, json_data.expires_at
        )
        made = api_tokens.get_token(connection, token_id)
    return NewTokenOut.model_validate({**vars(made), "token": secret})


@tokens.delete("/<uuid:token_id>")
@tokens.output({}, status_code=204)
@tokens.doc(security="bearer", responses=[404])
@people_only
def revoke_token(token_id: UUID) -> tuple[str, int]:
    """Make a token void, at once and for good."""
    account, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        api_tokens.revoke_token(connection, token_id, _whose(account))
    return "", 204


def _whose(account: Account) -> UUID | None:
    return None if account.role == "admin" else account.id
