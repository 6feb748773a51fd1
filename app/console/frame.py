"""The frame around every page: the blueprint, who is signed in, which pages they see.

Pages are closed unless they are named open here: a view that forgets to ask is still safe. Views put no rule of their own
into words; they call what the API calls and hand the result to a template.
"""

from flask import Blueprint, g, request
from flask.typing import ResponseReturnValue

from app.console.shown_once import take_messages
from app.errors import Forbidden
from app.http.auth import current_account, login_manager

pages = Blueprint(
    "console",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/assets",
)
_OPEN = frozenset({"console.login", "console.static"})
#: What the names of the operators' pages begin with: a new one is closed to others without being named here.
_FOR_OPERATORS = ("console.lane", "console.key", "console.client", "console.audit")
#: Pages that stand under an entry of the menu, by what their names begin with.
_SECTIONS = {
    "console.job": "console.jobs",
    "console.webhook": "console.webhooks",
    "console.token": "console.tokens",
    "console.client": "console.clients",
    "console.audit": "console.clients",
    "console.key_new": "console.clients",
    "console.key_add": "console.clients",
    "console.key": "console.keys",
}


@pages.before_request
def _guard() -> ResponseReturnValue | None:
    if request.endpoint in _OPEN:
        return None
    account = current_account()
    if account is None:
        answer: ResponseReturnValue = login_manager.unauthorized()
        return answer
    if g.get("scopes") is not None:
        # Scopes are the API's: here a token would be its whole person.
        raise Forbidden("Pages are for people; a program's token opens /api/ only.")
    if (request.endpoint or "").startswith(_FOR_OPERATORS) and not account.is_operator:
        raise Forbidden("Only operators of this installation see this page.")
    return None


@pages.app_context_processor
def _messages() -> dict[str, object]:
    return {"take_messages": take_messages}


@pages.app_context_processor
def _viewer() -> dict[str, object]:
    """Who is signed in and the pages in their menu; asks no database, so that error pages can be drawn without one."""
    account = g.get("account")
    if account is None:
        return {"viewer": None}
    menu = []
    if account.tenant_id is not None:
        menu += [
            ("console.jobs", "Jobs"),
            ("console.dashboard", "Dashboard"),
            ("console.upload", "Upload"),
            ("console.webhooks", "Webhooks"),
            ("console.tokens", "API tokens"),
        ]
    if account.is_operator:
        menu += [
            ("console.clients", "Clients"),
            ("console.lanes", "Lanes"),
            ("console.keys", "Keys"),
        ]
    viewer = {"email": account.email, "tenant": account.tenant_name, "pages": menu}
    return {"viewer": viewer | {"section": _section(request.endpoint or "")}}


def _section(endpoint: str) -> str | None:
    """Return the entry of the menu that a page stands under."""
    return next((entry for name, entry in _SECTIONS.items() if endpoint.startswith(name)), None)
