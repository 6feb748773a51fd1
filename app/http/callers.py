"""Whom a token named a moment ago, for the views that see to it themselves that this still holds.

Remembered in the process, for some seconds, by the token's hash. Such a view is marked `confirms_caller` and says when it has
been confirmed: by a statement that acts only for a caller of that version. Whatever else it would answer, be it an error of the
body, is sent only after the caller was looked up (`auth.py`). So nobody who was shut out gets anything but that told.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from flask import current_app, g, request

from app.accounts.api_tokens import PREFIX, hash_of
from app.accounts.callers import Caller
from app.accounts.tokens import read_token
from app.errors import Unauthenticated

#: When a caller is looked up again at the latest. A token's last use is noted then, so it must be less than a minute.
REMEMBER_SECONDS = 30.0
MOST_REMEMBERED = 1_000
V = TypeVar("V", bound=Callable[..., Any])
_MARK = "laneway_confirms_caller"
_remembered: dict[bytes, tuple[Caller, float]] = {}


def confirms_caller(view: V) -> V:
    """Mark a view that has its caller confirmed by what it does, and says so with `note_confirmed`. Put it lowest."""
    setattr(view, _MARK, True)
    return view


def remember(token: str, caller: Caller) -> None:
    """Keep who has just been looked up."""
    if len(_remembered) >= MOST_REMEMBERED:
        _remembered.clear()
    _remembered[hash_of(token)] = (caller, time.monotonic() + REMEMBER_SECONDS)


def forget(token: str) -> None:
    """Have the token looked up the next time."""
    _remembered.pop(hash_of(token), None)


def token_of(header: str) -> str:
    """Return the token of an Authorization header, empty where it has another form."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def of_request() -> Caller | None:
    """Return whom the request's token named a moment ago; None where the view does not confirm it, or it must be looked up."""
    if "remembered_caller" not in g:
        g.remembered_caller = _recall()
    found: Caller | None = g.remembered_caller
    return found


def _recall() -> Caller | None:
    view = current_app.view_functions.get(request.endpoint or "")
    if not getattr(view, _MARK, False):
        return None
    token = token_of(request.headers.get("Authorization", ""))
    found = _remembered.get(hash_of(token)) if token else None
    if found is None or found[1] < time.monotonic():
        return None
    if not token.startswith(PREFIX):
        try:
            read_token(token)
        except Unauthenticated:
            # It has ended meanwhile.
            return None
    return found[0]


def unconfirmed() -> Caller | None:
    """Return the caller whom the request was let in as, while that is not confirmed."""
    found: Caller | None = g.get("unconfirmed_caller")
    return found


def note_unconfirmed(caller: Caller) -> None:
    """Say that the request is dealt with as this remembered caller's: whatever it is told, they are looked up before."""
    g.unconfirmed_caller = caller


def note_looked_up(caller: Caller) -> None:
    """Say whom the request's token names by a look just now; while the request waits for others that may change as well."""
    g.looked_up_caller = caller


def named() -> Caller | None:
    """Return whom the request's token names, remembered or looked up; None where it has a session instead."""
    found: Caller | None = unconfirmed() or g.get("looked_up_caller")
    return found


def note_confirmed() -> None:
    """Say that the request's caller is who they were remembered as."""
    g.unconfirmed_caller = None
