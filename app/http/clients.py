"""Clients for operators: onboard, see, change, roll back, and what was done. Nobody else learns whether one exists."""

from apiflask import APIBlueprint
from flask import Response, make_response

from app.clients.clients import AuditRow
from app.clients.message import not_yet, welcome
from app.http import client_acts as acts
from app.http.auth import for_operators
from app.http.client_acts import Changed, ClientDetail
from app.http.models_clients import (
    ClientChangeIn,
    ClientListIn,
    ClientSearchIn,
    OnboardIn,
    WorkerIn,
)
from app.http.models_clients_out import (
    AuditEventOut,
    AuditListOut,
    CapacityOut,
    ClientChangedOut,
    ClientDetailOut,
    ClientListOut,
    ClientOut,
    LaneChangeOut,
    MessageOut,
    OnboardedOut,
    WorkerOut,
)
from app.http.models_operators import KeyOut
from app.http.pagination import decode_client, decode_event, encode_client, encode_event

clients = APIBlueprint("clients", __name__, url_prefix="/api", tag="Clients")


@clients.post("/clients")
@for_operators
@clients.input(OnboardIn)
@clients.output(OnboardedOut, status_code=201)
@clients.doc(security="bearer", responses=[403, 404, 409])
def onboard_client(json_data: OnboardIn) -> Response:
    """Give a client a lane and keys of its own. May be sent again safely: what is there already is kept.

    With a name, client and person are made first where the person is not there; the answer has the person's password.
    """
    done = acts.onboard(json_data)
    detail = acts.read_detail(done.client.slug)
    body = OnboardedOut(
        **_changed(Changed(detail, done.change, done.warnings)).model_dump(),
        key_ids=[*done.key_ids],
        password=done.password,
    ).model_dump(mode="json")
    response = make_response(body, 201)
    response.headers["Location"] = f"/api/clients/{done.client.slug}"
    return response


@clients.get("/clients")
@for_operators
@clients.input(ClientSearchIn, location="query")
@clients.output(ClientListOut)
@clients.doc(security="bearer", responses=[403])
def list_clients(query_data: ClientSearchIn) -> ClientListOut:
    """List the clients by slug: lane, work, part of the shared lane, keys. With a `limit` in pages; `q` searches."""
    after = decode_client(query_data.cursor) if query_data.cursor else None
    found, is_more = acts.read_clients(query_data.q, after, query_data.limit)
    following = encode_client(found[-1].slug) if is_more else None
    return ClientListOut(clients=[ClientOut.of(row) for row in found], next_cursor=following)


@clients.get("/clients/<slug>")
@for_operators
@clients.output(ClientDetailOut)
@clients.doc(security="bearer", responses=[403, 404])
def show_client(slug: str) -> ClientDetailOut:
    """Show a client with its keys and what they allow."""
    return _detail(acts.read_detail(slug))


@clients.patch("/clients/<slug>")
@for_operators
@clients.input(ClientChangeIn)
@clients.output(ClientChangedOut)
@clients.doc(security="bearer", responses=[403, 404, 409])
def change_client(slug: str, json_data: ClientChangeIn) -> ClientChangedOut:
    """Change settings or the lane: `"active": false` rolls back to the shared lane, `true` puts its own in force again.

    Work that waits moves at once; what runs finishes where it runs.
    """
    return _changed(acts.change_client(slug, json_data))


@clients.delete("/clients/<slug>")
@for_operators
@clients.output(ClientChangedOut)
@clients.doc(security="bearer", responses=[403, 404])
def remove_lane(slug: str) -> ClientChangedOut:
    """Remove a client's lane. The client, its people, its jobs and its keys stay."""
    return _changed(acts.remove_lane(slug))


@clients.get("/clients/<slug>/history")
@for_operators
@clients.input(ClientListIn, location="query")
@clients.output(AuditListOut)
@clients.doc(security="bearer", responses=[403, 404])
def show_history(slug: str, query_data: ClientListIn) -> AuditListOut:
    """List who changed what of a client, the newest first."""
    client = acts.read_client(slug)
    return _events(*acts.read_history(client.id, *_page(query_data)))


@clients.get("/audit")
@for_operators
@clients.input(ClientListIn, location="query")
@clients.output(AuditListOut)
@clients.doc(security="bearer", responses=[403])
def show_audit(query_data: ClientListIn) -> AuditListOut:
    """List who changed what of any client or key, the newest first."""
    return _events(*acts.read_history(None, *_page(query_data)))


@clients.get("/clients/<slug>/worker")
@for_operators
@clients.input(WorkerIn, location="query")
@clients.output(WorkerOut)
@clients.doc(security="bearer", responses=[403, 404])
def show_worker(slug: str, query_data: WorkerIn) -> WorkerOut:
    """Show what a worker of the client is started with. Secrets are placeholders."""
    wanted = None if query_data.keys is None else query_data.keys == "environment"
    files = acts.files_of(acts.read_detail(slug), keys_in_environment=wanted)
    return WorkerOut(format=query_data.format, text=files[query_data.format])


@clients.get("/clients/<slug>/message")
@for_operators
@clients.output(MessageOut)
@clients.doc(security="bearer", responses=[403, 404])
def show_message(slug: str) -> MessageOut:
    """Show a message for the client: what it has, and how fast it is. `warning` says why it is not true yet."""
    detail = acts.read_detail(slug)
    return MessageOut(
        text=welcome(detail.client, detail.capacity),
        warning=not_yet(detail.client, detail.serving),
    )


def _page(query: ClientListIn) -> tuple[int, int | None]:
    return query.limit, decode_event(query.cursor) if query.cursor else None


def _events(rows: list[AuditRow], is_more: bool) -> AuditListOut:  # noqa: FBT001 - read_history's answer
    following = encode_event(rows[-1].id) if is_more else None
    return AuditListOut(
        events=[AuditEventOut.model_validate(row) for row in rows], next_cursor=following
    )


def _detail(detail: ClientDetail) -> ClientDetailOut:
    return ClientDetailOut(
        client=ClientOut.of(detail.client),
        keys=[KeyOut.model_validate(key) for key in detail.keys],
        capacity=CapacityOut.model_validate(detail.capacity),
        platform_keys=detail.platform_keys,
    )


def _changed(done: Changed) -> ClientChangedOut:
    has_moved = done.change is not None and done.change.is_change
    return ClientChangedOut(
        **_detail(done.detail).model_dump(),
        change=LaneChangeOut.model_validate(done.change) if has_moved else None,
        warnings=[*done.warnings],
    )
