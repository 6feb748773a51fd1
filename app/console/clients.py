"""Clients for operators: all of them, one with its lane, keys and history, its settings. Kept from others by the frame."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.clients.clients import ClientRow
from app.clients.message import not_yet, welcome
from app.console.clients_forms import done_or_said, fields, read, warn
from app.console.frame import pages
from app.enrichment.providers import PROVIDERS
from app.http import client_acts as acts
from app.http.models_clients import ClientChangeIn
from app.http.pagination import decode_client, decode_event, encode_client, encode_event
from app.settings import get_settings

CLIENTS_A_PAGE = 50
EVENTS_ON_A_CLIENT = 10
EVENTS_A_PAGE = 50
_SETTINGS = (
    "name",
    "weight",
    "max_in_flight",
    "max_in_flight_per_job",
    "key_policy",
    "fallback_after_seconds",
    "enrichment_chain",
    "enrichment_cheapest_first",
)


@pages.get("/clients")
def clients() -> str:
    """Show the clients, or those searched for, a page at a time: lane, worker, work, part of the shared lane, keys."""
    search, cursor = request.args.get("q", "").strip()[:200], request.args.get("cursor")
    found, is_more = acts.read_clients(
        search or None, decode_client(cursor) if cursor else None, CLIENTS_A_PAGE
    )
    return render_template(
        "console/clients.html",
        clients=found,
        search=search,
        cursor=cursor,
        next_cursor=encode_client(found[-1].slug) if is_more else None,
    )


@pages.get("/clients/<slug>")
def client(slug: str) -> str:
    """Show one client."""
    detail = acts.read_detail(slug)
    events, is_more = acts.read_history(detail.client.id, EVENTS_ON_A_CLIENT, None)
    asked = request.args.get("keys")
    wanted = asked == "environment" if asked in {"environment", "database"} else None
    return render_template(
        "console/client.html",
        client=detail.client,
        detail=detail,
        files=acts.files_of(detail, keys_in_environment=wanted) if detail.client.has_lane else {},
        asked=asked,
        usual_chain=get_settings().enrichment_chain,
        providers=sorted(PROVIDERS),
        message=welcome(detail.client, detail.capacity),
        warning=not_yet(detail.client, detail.serving),
        events=events,
        older=encode_event(events[-1].id) if is_more else None,
    )


@pages.post("/clients/<slug>/settings")
def client_settings(slug: str) -> ResponseReturnValue:
    """Change a client's settings and show it again."""

    def change() -> str:
        warn(acts.change_client(slug, read(ClientChangeIn, fields(*_SETTINGS))).warnings)
        return "Saved. The settings hold from now on."

    return done_or_said(change, url_for("console.client", slug=slug, _anchor="settings"))


@pages.get("/clients/<slug>/history")
def client_history(slug: str) -> str:
    """Show who changed what of one client."""
    found = acts.read_client(slug)
    return _history(found)


@pages.get("/audit")
def audit() -> str:
    """Show who changed what of all clients and keys."""
    return _history(None)


def _history(found: ClientRow | None) -> str:
    cursor = request.args.get("cursor")
    events, is_more = acts.read_history(
        found.id if found else None, EVENTS_A_PAGE, decode_event(cursor) if cursor else None
    )
    return render_template(
        "console/client_history.html",
        client=found,
        events=events,
        cursor=cursor,
        older=encode_event(events[-1].id) if is_more else None,
    )
