"""The stream of what happens to a client's jobs: server-sent events, for pages that stay open."""

import socket
from functools import partial
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, request

from app.errors import NoRoom
from app.http.auth import require_tenant, signed_in, standing
from app.http.extensions import event_hub
from app.http.handover import HandedOverResponse, is_offered
from app.http.live import figures
from app.http.live.frames import read_id
from app.http.live.hub import EventHub
from app.http.live.viewer import Viewer
from app.http.models_events import EventsIn
from app.settings import get_settings

events = APIBlueprint("events", __name__, url_prefix="/api/enrichment/jobs", tag="Jobs")
MEDIA_TYPE = "text/event-stream"
#: After so long it makes sense to ask for a stream again.
RETRY_SECONDS = 30


@events.get("/events")
@events.input(EventsIn, location="query")
@events.doc(
    security="bearer",
    responses={
        200: "A stream of events: `hello`; `job`, whose data is a job as `GET /api/enrichment/jobs/{id}` shows it; `beat`; "
        "`reset`, after which the list is to be read again; `end`, when the person may not watch any more.",
        503: "As many streams as there may be are open: poll, and ask again after `Retry-After`.",
    },
)
@signed_in
def watch_jobs(query_data: EventsIn) -> Response:
    """Watch the client's jobs. `Last-Event-ID`, or `last_event_id`, goes on where a stream broke off."""
    _, tenant_id = require_tenant()
    if request.method == "HEAD":
        return Response(mimetype=MEDIA_TYPE)
    if not is_offered():
        raise NoRoom("This server holds no streams; poll the list of jobs instead.")
    _check_room(tenant_id)
    last_id = read_id(request.headers.get("Last-Event-ID") or query_data.last_event_id)
    viewer = Viewer(tenant_id, standing(), last_id)
    response = HandedOverResponse(partial(_adopt, event_hub(), viewer), MEDIA_TYPE)
    # nginx would keep events back until it has a page of them.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _adopt(hub: EventHub, viewer: Viewer, head: bytes, sock: socket.socket) -> None:
    hub.adopt(head, sock, viewer)


def _check_room(tenant_id: UUID) -> None:
    """Raise `NoRoom` where there is no place for another stream."""
    settings, hub = get_settings(), event_hub()
    if hub.is_closed:
        raise NoRoom("This process is about to end; ask again for another.", retry_after=1)
    if (
        hub.count() < settings.event_streams
        and hub.count(tenant_id) < settings.event_streams_per_client
    ):
        return
    figures.REFUSED.inc()
    raise NoRoom(
        "As many streams of events are open as may be; poll the list of jobs instead.",
        retry_after=RETRY_SECONDS,
    )
