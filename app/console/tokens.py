"""API tokens for a client's people: what there is and when it was used last, a new one shown once, revoked at any time."""

from datetime import date
from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.accounts.api_tokens import SCOPES, good_through
from app.console import shown_once
from app.console.clients_forms import done_or_said, read, status_of
from app.console.frame import pages
from app.errors import InvalidInput, LanewayError
from app.http import tokens as acts
from app.http.auth import require_account
from app.http.models_tokens import TokenIn

PURPOSE = "api token"
#: Scope -> what it lets a program do.
MAY = {
    "jobs:read": "Read jobs and results",
    "jobs:write": "Make, change and cancel jobs",
    "webhooks:read": "Read webhooks and their log",
    "webhooks:write": "Change webhooks, replay deliveries",
}


@pages.get("/tokens")
def tokens() -> str:
    """Show the tokens that one may see, and a new one, once."""
    return _page(None)


def _page(problem: LanewayError | None) -> str:
    account = require_account()
    return render_template(
        "console/tokens.html",
        tokens=acts.read_tokens(),
        of_all=account.role == "admin",
        new=shown_once.take("api_token", PURPOSE),
        scopes=[(scope, MAY[scope]) for scope in SCOPES],
        form=request.form,
        problem=problem,
    )


@pages.post("/tokens")
def token_add() -> ResponseReturnValue:
    """Make a token and show it, or the form again with what is wrong."""
    try:
        made, secret = acts.make(_sent())
    except LanewayError as error:
        return _page(error), status_of(error)
    # Shown by the next page, so that a reload makes no second one.
    shown_once.keep("api_token", PURPOSE, [made.name, secret])
    return redirect(url_for("console.tokens"), code=303)


def _sent() -> TokenIn:
    last_day = request.form.get("last_day", "").strip()
    try:
        ends = good_through(date.fromisoformat(last_day)) if last_day else None
    except ValueError as error:
        raise InvalidInput("Last day: write it as 2027-06-30.") from error
    values = {"name": request.form.get("name", ""), "scopes": request.form.getlist("scopes")}
    return read(TokenIn, {**values, "expiresAt": ends})


@pages.post("/tokens/<uuid:token_id>/revoke")
def token_revoke(token_id: UUID) -> ResponseReturnValue:
    """Make a token void and show the others."""

    def carry_out() -> str:
        return f"{acts.revoke(token_id).name} is revoked: no program can call with it any more."

    return done_or_said(carry_out, url_for("console.tokens"))
