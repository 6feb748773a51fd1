"""Access tokens for the API: signed JWTs (RFC 7519, HS256) that name a person and nothing else.

A token proves who asks; what they may do is read from the database at each request.
"""

import time
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

import jwt

from app.accounts.users import Account
from app.crypto import derive_key
from app.errors import BadToken
from app.settings import get_settings

_ISSUER = "laneway"
_AUDIENCE = "laneway-api"
_ALGORITHM = "HS256"


@dataclass(frozen=True)
class Claim:
    """Whom a valid token names, and the stamp of the password it was issued for."""

    user_id: UUID
    stamp: str


def issue_token(account: Account) -> tuple[str, int]:
    """Return a token and the seconds it is good for."""
    seconds = get_settings().access_token_minutes * 60
    now = int(time.time())
    claims = {
        "iss": _ISSUER,
        "aud": _AUDIENCE,
        "sub": str(account.id),
        "iat": now,
        "exp": now + seconds,
        "stamp": account.stamp,
    }
    return jwt.encode(claims, derive_key("access token"), algorithm=_ALGORITHM), seconds


def read_token(token: str) -> Claim:
    """Return what a token claims. Raises `BadToken` for one that is not ours or has ended."""
    try:
        claim, ends = _verified(token, derive_key("access token"))
    except jwt.ExpiredSignatureError:
        raise _ended() from None
    except (jwt.InvalidTokenError, ValueError):
        raise BadToken("The access token is not valid.") from None
    if ends <= time.time():
        raise _ended()
    return claim


def _ended() -> BadToken:
    return BadToken("The access token has ended; get a new one from POST /api/auth/login.")


@lru_cache(maxsize=1024)
def _verified(token: str, key: bytes) -> tuple[Claim, int]:
    """Return what a good token says, and when it ends (Unix s). A program sends the same one a thousand times."""
    claims = jwt.decode(
        token,
        key,
        algorithms=[_ALGORITHM],
        issuer=_ISSUER,
        audience=_AUDIENCE,
        options={"require": ["exp", "iat", "sub", "iss", "aud"]},
    )
    return Claim(UUID(claims["sub"]), str(claims.get("stamp", ""))), int(claims["exp"])
