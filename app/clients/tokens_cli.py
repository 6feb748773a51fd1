"""The command line for API tokens: `flask --app app.factory tokens list|create|revoke`. A new token is printed once."""

from datetime import datetime
from uuid import UUID

import click
from sqlalchemy import Connection, text

from app.accounts import api_tokens
from app.accounts.api_tokens import SCOPES, ApiToken
from app.accounts.users import Account, find_user_id, get_account
from app.clients.clients import get_client
from app.clients.command_line import owner
from app.clients.printing import moment, to_json
from app.clients.show_commands import json_option, presence
from app.errors import Conflict, InvalidInput
from app.plain_text import escaped, require_plain

tokens_cli = click.Group("tokens", help="Tokens with which clients' programs call the API.")
_SET_TENANT = text("SELECT set_config('laneway.tenant_id', :tenant, true)")
_LONGEST_NAME = 100


@tokens_cli.command("list")
@click.argument("name", required=False)
@json_option
def list_tokens(name: str | None, *, as_json: bool) -> None:
    """Show tokens, without what they are: of a client (NAME: its short name or id), of a person (an e-mail), or of all."""
    with owner() as connection:
        user_id = find_user_id(connection, name) if name and "@" in name else None
        is_client = name is not None and user_id is None
        tenant_id = get_client(connection, name, presence()).id if name and is_client else None
        found = api_tokens.list_all_tokens(connection, tenant_id, user_id)
    if as_json:
        click.echo(to_json([{**vars(token), "state": token.state} for token in found]))
        return
    for token in found:
        click.echo(_line(token))


def _line(token: ApiToken) -> str:
    ends = f"until {moment(token.expires_at)}" if token.expires_at else "no end"
    parts = (
        str(token.id),
        token.slug or "-",
        token.made_by or "-",
        token.name,
        f"…{token.hint}",
        " ".join(token.scopes),
        token.state,
        ends,
        f"last used {moment(token.last_used_at)}",
    )
    return escaped("\t".join(parts), keep="\t")


@tokens_cli.command("create")
@click.argument("email")
@click.option("--name", required=True, help="What it is for: nightly import.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    required=True,
    help="What it may do; as often as needed.",
)
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Its last good day, in UTC: 2027-06-30.  [default: no end]",
)
def create_token(
    email: str, *, name: str, scopes: tuple[str, ...], expires: datetime | None
) -> None:
    """Make a token that acts for the person EMAIL, and print it, this once."""
    with owner() as connection:
        account = _person(connection, email)
        _check_name(name)
        connection.execute(_SET_TENANT, {"tenant": str(account.tenant_id)})
        ends = api_tokens.good_through(expires.date()) if expires else None
        token_id, token = api_tokens.create_token(
            connection, account.id, name.strip(), scopes, ends
        )
    # After the commit: what is printed is good.
    click.echo(f"token {token_id} of {account.email}, client {account.tenant_slug}")
    click.echo(token)


def _person(connection: Connection, email: str) -> Account:
    """Return the person that a token would act for. Raises `NotFound` or `Conflict`."""
    account = get_account(connection, find_user_id(connection, email))
    if account is None:
        raise Conflict(
            f"{email} is deactivated: a token would open nothing. `users activate` first."
        )
    if account.tenant_id is None:
        raise Conflict(f"{email} belongs to no client, and a token opens a client's jobs only.")
    return account


def _check_name(name: str) -> None:
    if not 0 < len(name.strip()) <= _LONGEST_NAME:
        raise InvalidInput(f"A token's name has 1 to {_LONGEST_NAME} characters.")
    require_plain("A name", name)


@tokens_cli.command("revoke")
@click.argument("token_id", type=click.UUID, metavar="ID")
def revoke_token(token_id: UUID) -> None:
    """Make a token void, at once and for good; `tokens list` shows the ids."""
    with owner() as connection:
        was_revoked = api_tokens.get_token(connection, token_id).revoked_at is not None
        api_tokens.revoke_token(connection, token_id, None)
        token = api_tokens.get_token(connection, token_id)
    already = " already" if was_revoked else ""
    line = f"token {token.id} (…{token.hint}, {token.name}, of {token.made_by}) is revoked{already}"
    click.echo(escaped(line))
