"""Webhooks: a client's endpoints, its own signing secret, and the log of what was sent.

Anybody of the client may read and change them, as with its jobs.
"""

from uuid import UUID

from apiflask import APIBlueprint

from app.db.scope import tenant_scope
from app.http.auth import require_tenant, signed_in
from app.http.models_webhooks import (
    ClientSecretOut,
    DeliveryDetailOut,
    DeliveryListIn,
    DeliveryListOut,
    DeliveryOut,
    EndpointChangeIn,
    EndpointIn,
    EndpointListOut,
    EndpointOut,
    EndpointSecretOut,
    NewClientSecretOut,
    TestOut,
)
from app.http.pagination import decode_delivery, encode_delivery
from app.settings import get_settings
from app.webhooks import client_secret, endpoints, log

webhooks = APIBlueprint("webhooks", __name__, url_prefix="/api/webhooks", tag="Webhooks")
HOUR_SECONDS = 3600.0


def overlap_seconds() -> float:
    """Return how long a secret signs on after its rotation."""
    return get_settings().webhook_rotation_hours * HOUR_SECONDS


@webhooks.get("/endpoints")
@webhooks.output(EndpointListOut)
@webhooks.doc(security="bearer")
@signed_in
def list_endpoints() -> EndpointListOut:
    """List the endpoints of the client."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        found = endpoints.list_endpoints(connection)
    return EndpointListOut(endpoints=[EndpointOut.model_validate(one) for one in found])


@webhooks.post("/endpoints")
@webhooks.input(EndpointIn)
@webhooks.output(EndpointSecretOut, status_code=201)
@webhooks.doc(security="bearer", responses=[409])
@signed_in
def add_endpoint(json_data: EndpointIn) -> EndpointSecretOut:
    """Add an endpoint; the answer shows its secret, once."""
    account, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        endpoint_id, secret = endpoints.add_endpoint(
            connection,
            url=json_data.url,
            events=json_data.events,
            description=json_data.description,
            created_by=account.id,
        )
        added = endpoints.get_endpoint(connection, endpoint_id)
    return EndpointSecretOut.model_validate({**vars(added), "secret": secret})


@webhooks.get("/endpoints/<uuid:endpoint_id>")
@webhooks.output(EndpointOut)
@webhooks.doc(security="bearer")
@signed_in
def show_endpoint(endpoint_id: UUID) -> EndpointOut:
    """Show an endpoint."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        return EndpointOut.model_validate(endpoints.get_endpoint(connection, endpoint_id))


@webhooks.patch("/endpoints/<uuid:endpoint_id>")
@webhooks.input(EndpointChangeIn)
@webhooks.output(EndpointOut)
@webhooks.doc(security="bearer", responses=[409])
@signed_in
def change_endpoint(endpoint_id: UUID, json_data: EndpointChangeIn) -> EndpointOut:
    """Change an endpoint; `enabled: false` sends nothing more and cancels what is open."""
    _, tenant_id = require_tenant()
    wanted = json_data.model_dump(exclude={"enabled"}, exclude_none=True)
    with tenant_scope(tenant_id) as connection:
        if wanted:
            endpoints.change_endpoint(connection, endpoint_id, **wanted)
        if json_data.enabled is True:
            endpoints.enable_endpoint(connection, endpoint_id)
        elif json_data.enabled is False:
            endpoints.disable_endpoint(connection, endpoint_id)
        return EndpointOut.model_validate(endpoints.get_endpoint(connection, endpoint_id))


@webhooks.delete("/endpoints/<uuid:endpoint_id>")
@webhooks.output({}, status_code=204)
@webhooks.doc(security="bearer")
@signed_in
def remove_endpoint(endpoint_id: UUID) -> str:
    """Remove an endpoint; its log stays for its time."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        endpoints.remove_endpoint(connection, endpoint_id)
    return ""


@webhooks.post("/endpoints/<uuid:endpoint_id>/rotate")
@webhooks.output(EndpointSecretOut)
@webhooks.doc(security="bearer", responses=[409])
@signed_in
def rotate_secret(endpoint_id: UUID) -> EndpointSecretOut:
    """Make a new secret and show it, once; the one before signs as well for a day."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        secret = endpoints.rotate_secret(connection, endpoint_id, overlap_seconds=overlap_seconds())
        changed = endpoints.get_endpoint(connection, endpoint_id)
    return EndpointSecretOut.model_validate({**vars(changed), "secret": secret})


@webhooks.post("/endpoints/<uuid:endpoint_id>/test")
@webhooks.output(TestOut, status_code=202)
@webhooks.doc(security="bearer")
@signed_in
def test_endpoint(endpoint_id: UUID) -> TestOut:
    """Send a test event, also to an endpoint that is off; the log shows what came of it."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        return TestOut(message_id=endpoints.send_test(connection, endpoint_id))


@webhooks.post("/endpoints/<uuid:endpoint_id>/enable")
@webhooks.output(EndpointOut)
@webhooks.doc(security="bearer")
@signed_in
def enable_endpoint(endpoint_id: UUID) -> EndpointOut:
    """Switch an endpoint on again; what was open when it was switched off can be replayed, later events were not kept."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        endpoints.enable_endpoint(connection, endpoint_id)
        return EndpointOut.model_validate(endpoints.get_endpoint(connection, endpoint_id))


@webhooks.get("/secret")
@webhooks.output(ClientSecretOut)
@webhooks.doc(security="bearer")
@signed_in
def show_client_secret() -> ClientSecretOut:
    """Tell about the client's own secret, which signs what goes to the `webhook_url` of jobs."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        return ClientSecretOut.model_validate(client_secret.show(connection))


@webhooks.post("/secret/rotate")
@webhooks.output(NewClientSecretOut)
@webhooks.doc(security="bearer")
@signed_in
def rotate_client_secret() -> NewClientSecretOut:
    """Make a new secret of the client's own and show it, once; the one before signs as well for a day."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        secret = client_secret.rotate(connection, overlap_seconds=overlap_seconds())
        state = client_secret.show(connection)
    return NewClientSecretOut.model_validate({**vars(state), "secret": secret})


@webhooks.get("/deliveries")
@webhooks.input(DeliveryListIn, location="query")
@webhooks.output(DeliveryListOut)
@webhooks.doc(security="bearer")
@signed_in
def list_deliveries(query_data: DeliveryListIn) -> DeliveryListOut:
    """List what was sent or is to be, the newest first."""
    _, tenant_id = require_tenant()
    filters = query_data.model_dump(include={"endpoint", "job", "status", "event"})
    after = decode_delivery(query_data.cursor) if query_data.cursor else None
    with tenant_scope(tenant_id) as connection:
        found = log.list_deliveries(connection, limit=query_data.limit + 1, after=after, **filters)
    page = found[: query_data.limit]
    following = encode_delivery(page[-1].id) if len(found) > len(page) else None
    return DeliveryListOut(deliveries=[DeliveryOut.of(one) for one in page], next_cursor=following)


@webhooks.get("/deliveries/<int(max=9223372036854775807):delivery_id>")
@webhooks.output(DeliveryDetailOut)
@webhooks.doc(security="bearer")
@signed_in
def show_delivery(delivery_id: int) -> DeliveryDetailOut:
    """Show a delivery: what is sent, each attempt, and its answer."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        return DeliveryDetailOut.of_detail(log.get_delivery(connection, delivery_id))


@webhooks.post("/deliveries/<int(max=9223372036854775807):delivery_id>/replay")
@webhooks.output(DeliveryOut, status_code=202)
@webhooks.doc(security="bearer", responses=[409])
@signed_in
def replay_delivery(delivery_id: int) -> DeliveryOut:
    """Send a delivery that is over once more, with the same id and body."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        return DeliveryOut.of(log.replay(connection, delivery_id))
