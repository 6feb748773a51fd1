"""Webhooks for a client's people: endpoints, secrets that are shown once, the log of deliveries, replay."""

from collections.abc import Callable
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection
from werkzeug.exceptions import NotFound as NoSuchPage

from app.console import shown_once
from app.console.clients_forms import done_or_said, read, status_of
from app.console.frame import pages
from app.db.scope import tenant_scope
from app.errors import LanewayError
from app.http.auth import require_tenant
from app.http.models_webhooks import DeliveryListIn, EndpointChangeIn, EndpointIn
from app.http.pagination import decode_delivery, encode_delivery
from app.http.webhooks import overlap_seconds
from app.webhooks import client_secret, endpoints, log

DELIVERIES_A_PAGE = 25
PURPOSE = "webhook secret"
#: What the page is asked with -> the API's name for it; `url_for` has a use of its own for `endpoint`.
FILTERS = {"to": "endpoint", "job": "job", "status": "status", "event": "event", "cursor": "cursor"}


def _keep_secret(of: str, secret: str) -> None:
    """Have the next page show a secret, once."""
    shown_once.keep("webhook_secret", PURPOSE, [of, secret])


@pages.get("/webhooks")
def webhooks() -> str:
    """Show the client's endpoints and what was sent last."""
    return _page(None)


def _page(problem: LanewayError | None) -> str:
    _, tenant_id = require_tenant()
    given = {FILTERS[k]: v for k, v in request.args.items() if k in FILTERS}
    asked = read(DeliveryListIn, given)
    filters = asked.model_dump(include={"endpoint", "job", "status", "event"})
    with tenant_scope(tenant_id) as connection:
        listed = endpoints.list_endpoints(connection)
        own = client_secret.show(connection)
        found = log.list_deliveries(
            connection,
            limit=DELIVERIES_A_PAGE + 1,
            after=decode_delivery(asked.cursor) if asked.cursor else None,
            **filters,
        )
    shown = found[:DELIVERIES_A_PAGE]
    return render_template(
        "console/webhooks.html",
        endpoints=listed,
        own=own,
        secret=shown_once.take("webhook_secret", PURPOSE),
        deliveries=shown,
        asked={k: filters[v] for k, v in FILTERS.items() if filters.get(v) is not None},
        cursor=asked.cursor,
        next_cursor=encode_delivery(shown[-1].id) if len(found) > len(shown) else None,
        event_types=endpoints.EVENT_TYPES,
        form=request.form,
        problem=problem,
    )


def _sent() -> dict[str, object]:
    """Return the fields of an endpoint's form."""
    return {
        "url": request.form.get("url", ""),
        "description": request.form.get("description", ""),
        "events": request.form.getlist("events"),
    }


@pages.post("/webhooks")
def webhook_add() -> ResponseReturnValue:
    """Add an endpoint and show its secret, or the form again with what is wrong."""
    account, tenant_id = require_tenant()
    try:
        asked = read(EndpointIn, _sent())
        with tenant_scope(tenant_id) as connection:
            _, secret = endpoints.add_endpoint(
                connection, **asked.model_dump(), created_by=account.id
            )
    except LanewayError as error:
        return _page(error), status_of(error)
    _keep_secret(asked.url, secret)
    return redirect(url_for("console.webhooks"), code=303)


@pages.post("/webhooks/secret")
def webhook_secret() -> ResponseReturnValue:
    """Make a new secret of the client's own and show it."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        secret = client_secret.rotate(connection, overlap_seconds=overlap_seconds())
    _keep_secret("the addresses of your jobs", secret)
    return redirect(url_for("console.webhooks"), code=303)


@pages.get("/webhooks/endpoints/<uuid:endpoint_id>")
def webhook_endpoint(endpoint_id: UUID) -> str:
    """Show one endpoint, to be changed."""
    return _endpoint_page(endpoint_id, None)


@pages.post("/webhooks/endpoints/<uuid:endpoint_id>")
def webhook_change(endpoint_id: UUID) -> ResponseReturnValue:
    """Change an endpoint, or show the form again with what is wrong."""
    _, tenant_id = require_tenant()
    try:
        asked = read(EndpointChangeIn, _sent())
        with tenant_scope(tenant_id) as connection:
            endpoints.change_endpoint(
                connection, endpoint_id, **asked.model_dump(exclude={"enabled"})
            )
    except LanewayError as error:
        return _endpoint_page(endpoint_id, error), status_of(error)
    flash("The endpoint is changed. What comes next goes there.", "done")
    return redirect(url_for("console.webhooks"), code=303)


def _endpoint_page(endpoint_id: UUID, problem: LanewayError | None) -> str:
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        endpoint = endpoints.get_endpoint(connection, endpoint_id)
    return render_template(
        "console/webhook_endpoint.html",
        endpoint=endpoint,
        event_types=endpoints.EVENT_TYPES,
        form=request.form,
        problem=problem,
    )


def _rotate(connection: Connection, endpoint_id: UUID) -> str:
    secret = endpoints.rotate_secret(connection, endpoint_id, overlap_seconds=overlap_seconds())
    _keep_secret(endpoints.get_endpoint(connection, endpoint_id).url, secret)
    return "There is a new secret. The one before signs as well for a while, so that you can change it at the receiver."


def _test(connection: Connection, endpoint_id: UUID) -> str:
    endpoints.send_test(connection, endpoint_id)
    return "A test is on its way; reload in a moment to see what came of it."


def _enable(connection: Connection, endpoint_id: UUID) -> str:
    endpoints.enable_endpoint(connection, endpoint_id)
    return (
        "Switched on. What was open when it was switched off can be replayed; "
        "the events since then were not kept."
    )


def _disable(connection: Connection, endpoint_id: UUID) -> str:
    endpoints.disable_endpoint(connection, endpoint_id)
    return "Switched off. What was open is cancelled and can be replayed later."


def _remove(connection: Connection, endpoint_id: UUID) -> str:
    endpoints.remove_endpoint(connection, endpoint_id)
    return "The endpoint is removed. Its log stays for its time."


_ACTS: dict[str, Callable[[Connection, UUID], str]] = {
    "rotate": _rotate,
    "test": _test,
    "enable": _enable,
    "disable": _disable,
    "remove": _remove,
}


@pages.post("/webhooks/endpoints/<uuid:endpoint_id>/<act>")
def webhook_act(endpoint_id: UUID, act: str) -> ResponseReturnValue:
    """Do something to an endpoint and show all of them again."""
    if act not in _ACTS:
        raise NoSuchPage
    _, tenant_id = require_tenant()

    def carry_out() -> str:
        with tenant_scope(tenant_id) as connection:
            return _ACTS[act](connection, endpoint_id)

    return done_or_said(carry_out, url_for("console.webhooks"))


@pages.get("/webhooks/deliveries/<int(max=9223372036854775807):delivery_id>")
def webhook_delivery(delivery_id: int) -> str:
    """Show what was sent, each attempt, and its answer."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        detail = log.get_delivery(connection, delivery_id)
    return render_template("console/webhook_delivery.html", detail=detail)


@pages.post("/webhooks/deliveries/<int(max=9223372036854775807):delivery_id>/replay")
def webhook_replay(delivery_id: int) -> ResponseReturnValue:
    """Send a delivery once more."""
    _, tenant_id = require_tenant()

    def carry_out() -> str:
        with tenant_scope(tenant_id) as connection:
            log.replay(connection, delivery_id)
        return "It is sent once more; reload in a moment to see what came of it."

    return done_or_said(carry_out, url_for("console.webhook_delivery", delivery_id=delivery_id))
