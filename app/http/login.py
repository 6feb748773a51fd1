"""Signing in for the API: an address and a password for an access token."""

from apiflask import APIBlueprint

from app.accounts.tokens import issue_token
from app.accounts.users import Account, authenticate
from app.db.scope import system_scope
from app.http.limits import check_login
from app.http.models import LoginIn, TokenOut

login = APIBlueprint("login", __name__, url_prefix="/api/auth", tag="Sign in")


def sign_in(email: str, password: str) -> Account:
    """Return who signs in, for the API and the pages alike.

    Raises `Unauthenticated`, or `TooManyRequests` after too many attempts from the address or for the e-mail.
    """
    check_login(email)
    with system_scope() as connection:
        return authenticate(connection, email, password)


@login.post("/login")
@login.input(LoginIn)
@login.output(TokenOut)
@login.doc(responses=[401, 429])
def log_in(json_data: LoginIn) -> TokenOut:
    """Get an access token."""
    token, seconds = issue_token(sign_in(json_data.email, json_data.password))
    return TokenOut(access_token=token, expires_in=seconds)
