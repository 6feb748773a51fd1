"""The frame around every page: the blueprint, who is signed in, which pages they see.

Pages are closed unless they are named open here: a view that forgets to ask is still safe. Views put no rule of their own
into words; they call what the API calls and hand the result to a template.
"""

from flask import Blueprint, g, request
from flask.typing import ResponseReturnValue

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
_FOR_OPERATORS = frozenset({"console.lanes", "console.keys"})


@pages.before_request
def _guard() -> ResponseReturnValue | None:
    if request.endpoint in _OPEN:
        return None
    account = current_account()
    if account is None:
        answer: ResponseReturnValue = login_manager.unauthorized()
        return answer
    if request.endpoint in _FOR_OPERATORS and not account.is_operator:
        raise Forbidden("Only operators of this installation see this page.")
    return None


@pages.app_context_processor
def _viewer() -> dict[str, object]:
    """Who is signed in and the pages in their menu; asks no database, so that error pages can be drawn without one."""
    account = g.get("account")
    if account is None:
        return {"viewer": None}
    menu = []
    if account.tenant_id is not None:
        menu += [("console.jobs", "Jobs"), ("console.upload", "Upload")]
    if account.is_operator:
        menu += [("console.lanes", "Lanes"), ("console.keys", "Keys")]
    return {"viewer": {"email": account.email, "tenant": account.tenant_name, "pages": menu}}
