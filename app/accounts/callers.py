"""Who calls the API with a token, with a version of all that is known of them.

The version is another one as soon as the person, their client or the token has changed in any way. A statement that compares it
(`ledger_submit_many`) may be given a caller that was found a moment ago: it acts for nobody who was switched off meanwhile.
"""

import hmac
from dataclasses import dataclass

from sqlalchemy import Connection

from app.accounts.api_tokens import TokenClaim, hash_of, looks_like_one
from app.accounts.tokens import Claim
from app.accounts.users import Account, account_of

_FIND = "SELECT * FROM auth_caller(CAST(%s AS uuid), CAST(%s AS bytea))"


@dataclass(frozen=True)
class Caller:
    """A person, by an access token or by an API token with its `claim`; `version` as it was when they were found."""

    account: Account
    version: str
    claim: TokenClaim | None = None


def find_person(connection: Connection, claim: Claim) -> Caller | None:
    """Return whom an access token names, None when they are gone or switched off, or have another password."""
    row = connection.exec_driver_sql(_FIND, (str(claim.user_id), None)).one_or_none()
    account = account_of(row)
    if row is None or account is None or not hmac.compare_digest(account.stamp, claim.stamp):
        return None
    return Caller(account, row.version)


def find_program(connection: Connection, token: str) -> Caller | None:
    """Return for whom an API token acts, None for one that is not good (any more)."""
    if not looks_like_one(token):
        return None
    row = connection.exec_driver_sql(_FIND, (None, hash_of(token))).one_or_none()
    account = account_of(row)
    if row is None or account is None:
        return None
    claim = TokenClaim(row.token_id, row.id, row.tenant_id, frozenset(row.scopes))
    return Caller(account, row.version, claim)
