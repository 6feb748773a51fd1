"""Values that a form carries from one page to the next without anybody being able to read, change or borrow them."""

import json
import time
from uuid import UUID

from app.crypto import decrypt, encrypt
from app.errors import Conflict, InvalidInput, Misconfigured

SEALED_SECONDS = 30 * 60


def seal(purpose: str, person: UUID, value: object, *, now: float | None = None) -> str:
    """Return a JSON value encrypted, for one purpose and one person, good for half an hour."""
    until = (time.time() if now is None else now) + SEALED_SECONDS
    told = {"for": purpose, "by": str(person), "until": until, "value": value}
    return encrypt(json.dumps(told)).decode()


def unseal(purpose: str, person: UUID, sealed: str, *, now: float | None = None) -> object:
    """Return the value. Raises `InvalidInput` for what was not sealed so, `Conflict` for what is too old."""
    try:
        told = json.loads(decrypt(sealed.encode()))
        is_ours = (told["for"], told["by"]) == (purpose, str(person))
        is_old = told["until"] < (time.time() if now is None else now)
    except (Misconfigured, ValueError, KeyError, TypeError):
        is_ours = False
    if not is_ours:
        raise InvalidInput("This review is not yours, or was changed; fill in the form again.")
    if is_old:
        raise Conflict("This review is older than half an hour; fill in the form again.")
    return told["value"]
