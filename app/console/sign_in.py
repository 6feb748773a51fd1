"""Signing in and out on this browser. What was wrong is never said more exactly than "address or password"."""

from urllib.parse import urlsplit

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.accounts.users import Account
from app.console.frame import pages
from app.errors import TooManyRequests, Unauthenticated
from app.http.auth import current_account, end_session, start_session
from app.http.login import sign_in


def safe_next(target: str, otherwise: str) -> str:
    """Return the path to go on to if it is one of ours, else `otherwise`.

    Browsers read `//host`, `/\\host` and paths with control characters as other places.
    """
    try:
        parts = urlsplit(target)
    except ValueError:
        return otherwise
    is_ours = (
        target.startswith("/")
        and not target.startswith(("//", "/\\"))
        and target.isprintable()
        and not (parts.scheme or parts.netloc)
    )
    return target if is_ours else otherwise


def home_of(account: Account) -> str:
    """Return the page a person begins with: their lists, or the lanes for who has none."""
    return url_for("console.jobs" if account.tenant_id else "console.lanes")


@pages.route("/login", methods=["GET", "POST"])
def login() -> ResponseReturnValue:
    """Show the form, or sign in and go on to `next`."""
    wanted = request.values.get("next", "")
    email, problem, status, headers = request.form.get("email", ""), "", 200, {}
    try:
        if request.method == "POST":
            account = sign_in(email, request.form.get("password", ""))
            start_session(account)
            return redirect(safe_next(wanted, home_of(account)), code=303)
        if (known := current_account()) is not None:
            return redirect(safe_next(wanted, home_of(known)))
    except (Unauthenticated, TooManyRequests) as error:
        problem, status = error.message, error.status
        headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    page = render_template("console/login.html", next=wanted, email=email, problem=problem)
    return page, status, headers


@pages.post("/logout")
def logout() -> ResponseReturnValue:
    """Sign out on this browser."""
    end_session()
    return redirect(url_for("console.login"), code=303)
