"""What the next page shows, once: a new token, a secret, a first password, sealed in the session's cookie; and messages.

Only a person's own look takes it. A HEAD, a page that a browser fetches before anybody asked for it, or one of which a script
takes parts only, shows nothing and leaves it there: else whoever made a token would never see it.
"""

from typing import cast

from flask import get_flashed_messages, request, session

from app.console.sealed import seal, unseal
from app.errors import LanewayError
from app.http.auth import require_account

#: Headers by which browsers say that nobody has asked for the page yet: Chromium's and Safari's, then those of before.
_AHEAD = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")


def keep(name: str, purpose: str, value: object) -> None:
    """Have the next page show `value` (JSON) to this person."""
    session[name] = seal(purpose, require_account().id, value)


def take(name: str, purpose: str) -> object:
    """Return what is to be shown now, and forget it; None for nothing, and where nobody looks."""
    if name not in session or not is_looked_at():
        return None
    try:
        return unseal(purpose, require_account().id, session.pop(name))
    except LanewayError:
        return None


def take_messages() -> list[tuple[str, str]]:
    """Return (kind, words) of the messages that are to be shown now, and forget them."""
    if not is_looked_at():
        return []
    return cast("list[tuple[str, str]]", get_flashed_messages(with_categories=True))


def is_looked_at() -> bool:
    """Tell whether somebody sees the page that is asked for."""
    said = " ".join(request.headers.get(name, "") for name in _AHEAD).lower()
    return request.method != "HEAD" and "prefetch" not in said and "preview" not in said
