"""Onboarding a client, one that is there or a new one: a form in steps, a review, the result. Works without a script.

Between the form and the review the keys travel sealed: encrypted, bound to the person who pasted them and good for half
an hour. So no page ever holds them readable, and nothing of an order that was not confirmed is stored. In the same way a
new person's password travels to the result, which shows it once.
"""

from typing import Any

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.clients.capacity import capacity
from app.clients.message import not_yet, welcome
from app.console import shown_once
from app.console.clients_forms import fields, lane_words, pasted_keys, read, status_of, warn
from app.console.clients_keys import LIMITS
from app.console.frame import pages
from app.console.sealed import seal, unseal
from app.crypto import hint
from app.errors import LanewayError
from app.http import client_acts as acts
from app.http.auth import require_account
from app.http.models_clients import OnboardIn

_WHO = ("email", "name", "slug")
PURPOSE = "onboarding"
PASSWORD = "new person"  # noqa: S105 - what the password is sealed for
ONBOARDED = "words of an onboarding"


@pages.get("/onboard")
def client_onboard() -> str:
    """Show the form, with what is known of a client that was named."""
    return _form_page({name: request.args.get(name, "") for name in _WHO}, None)


@pages.post("/onboard")
def client_review() -> ResponseReturnValue:
    """Check the form and show what would be done, or the form again with what is wrong."""
    try:
        order = _read_form()
        return _review_page(order, None)
    except LanewayError as error:
        return _form_page(request.form, error), status_of(error)


def _read_form() -> OnboardIn:
    limits = fields(*(name for name in LIMITS if name != "notes"))
    values: dict[str, Any] = fields(*_WHO, "queue", "notes")
    values["keys"] = [{"secret": secret, **limits} for secret in pasted_keys()]
    return read(OnboardIn, values)


def _review_page(order: OnboardIn, problem: LanewayError | None) -> str:
    wanted, client, warnings = acts.review(order)
    keys = [(hint(key.secret.get_secret_value()), key) for key in order.keys]
    return render_template(
        "console/client_review.html",
        client=client,
        name=client.name if client else wanted.name,
        order=order,
        wanted=wanted,
        keys=keys,
        capacity=capacity(acts.as_new_keys(order.keys)),
        sealed=_seal(order),
        warnings=warnings,
        problem=problem,
    )


@pages.post("/onboard/confirm")
def client_confirm() -> ResponseReturnValue:
    """Onboard as reviewed, with the limits as they stand in the review, and show the result."""
    try:
        order = _unseal(request.form.get("sealed", ""))
    except LanewayError as error:
        return _form_page({}, error), status_of(error)
    try:
        order = read(OnboardIn, _with_limits(order))
        done = acts.onboard(order)
    except LanewayError as error:
        return _again(order, error), status_of(error)
    shown_once.keep("onboarded", ONBOARDED, lane_words(done.change))
    warn(done.warnings)
    if done.password:
        shown_once.keep("password", PASSWORD, done.password)
    return redirect(url_for("console.client_ready", slug=done.client.slug), code=303)


def _again(order: OnboardIn, problem: LanewayError) -> str:
    try:
        return _review_page(order, problem)
    except LanewayError:
        # Somebody else made this client, or took the person away, since the review.
        return _form_page(order.model_dump(exclude={"keys"}), problem)


def _with_limits(order: OnboardIn) -> dict[str, Any]:
    """Each key's limits are fields of the review: `spacing_ms.0` is the first key's."""
    values = _plain(order)
    for n, key in enumerate(values["keys"]):
        key.update(
            {name: request.form[f"{name}.{n}"] for name in LIMITS if f"{name}.{n}" in request.form}
        )
    return values | fields("queue")


@pages.get("/clients/<slug>/ready")
def client_ready(slug: str) -> ResponseReturnValue:
    """Show what is left to do after onboarding: start the worker, tell the client."""
    detail = acts.read_detail(slug)
    if not detail.client.has_lane:
        return redirect(url_for("console.client", slug=slug))
    return render_template(
        "console/client_ready.html",
        client=detail.client,
        detail=detail,
        words=shown_once.take("onboarded", ONBOARDED),
        # Of a person who was made just now; None: nobody was, or it was too long ago.
        password=shown_once.take("password", PASSWORD),
        files=acts.files_of(detail),
        message=welcome(detail.client, detail.capacity),
        warning=not_yet(detail.client, detail.serving),
    )


def _form_page(form: Any, problem: LanewayError | None) -> str:
    return render_template("console/client_onboard.html", form=form, problem=problem)


def _plain(order: OnboardIn) -> dict[str, Any]:
    values = order.model_dump()
    for key, given in zip(values["keys"], order.keys, strict=True):
        key["secret"] = given.secret.get_secret_value()
    return values


def _seal(order: OnboardIn) -> str:
    return seal(PURPOSE, require_account().id, _plain(order))


def _unseal(sealed: str) -> OnboardIn:
    return OnboardIn.model_validate(unseal(PURPOSE, require_account().id, sealed))
