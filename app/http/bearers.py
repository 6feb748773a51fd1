"""From an Authorization header to who calls: a person's access token, or a program's API token."""

import structlog
from flask import g

from app.accounts.api_tokens import PREFIX
from app.accounts.callers import Caller, find_person, find_program
from app.accounts.tokens import read_token
from app.accounts.users import Account
from app.db.scope import statement_scope
from app.errors import BadToken
from app.http import callers
from app.http.limits import check_bad_token


def account_of_header(header: str) -> Account:
    """Look up who sends this header and let them in. Raises `BadToken`, `TooManyRequests`."""
    token = callers.token_of(header)
    if not token:
        raise BadToken("Send the token as `Authorization: Bearer …`.")
    caller = look_up(token)
    if caller is None:
        callers.forget(token)
        # Of a client that is not this caller's to hear about.
        g.pop("rate_limit", None)
        if token.startswith(PREFIX):
            check_bad_token()
            raise BadToken("There is no such API token, or it was revoked or has ended.")
        raise BadToken(
            "The access token is no longer valid; get a new one from POST /api/auth/login."
        )
    callers.remember(token, caller)
    callers.note_looked_up(caller)
    return let_in(caller)


def look_up(token: str) -> Caller | None:
    """Find whom a token names; None for one that is not good. Needs no request. Raises `BadToken` for what is no token."""
    if token.startswith(PREFIX):
        with statement_scope() as connection:
            return find_program(connection, token)
    claim = read_token(token)
    with statement_scope() as connection:
        return find_person(connection, claim)


def let_in(caller: Caller) -> Account:
    """Note what the request's caller may do; return who it is."""
    g.scopes = None
    if caller.claim:
        g.scopes = caller.claim.scopes
        structlog.contextvars.bind_contextvars(token_id=str(caller.claim.token_id))
    return caller.account
