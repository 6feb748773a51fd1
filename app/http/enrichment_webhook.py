"""Calls of vendors and of others about enrichment, taken in; and the list of those that came."""

from apiflask import APIBlueprint
from flask import request

from app.db.scope import system_scope, tenant_scope
from app.enrichment.events import list_events, list_strays
from app.enrichment.inbound import (
    BODY_LIMIT_BYTES,
    Received,
    take_job_event,
    take_provider_call,
)
from app.http.auth import require_account, require_tenant, signed_in
from app.http.limits import webhook_limit
from app.http.models_webhook_events import (
    EventListIn,
    ReceivedOut,
    WebhookEventListOut,
    WebhookEventOut,
)
from app.http.pagination import decode_call, encode_call
from app.settings import get_settings

enrichment_webhook = APIBlueprint(
    "enrichment_webhook", __name__, url_prefix="/api/enrichment/webhook", tag="Webhooks in"
)


@enrichment_webhook.post("")
@webhook_limit
@enrichment_webhook.output(ReceivedOut, status_code=202)
@enrichment_webhook.doc(
    description="With `?provider=…` a provider's later answer, else an event of a job: "
    '`{"jobId", "event", "data"}`. Proved by the address that the provider was told, or by a '
    "signature (Standard Webhooks) with a secret of the installation.",
    responses={401: "Not proved.", 404: "There is no such provider.", 413: "Too large."},
)
def take_call() -> ReceivedOut:
    """Take a call from outside: kept once, answered at once, worked on later."""
    request.max_content_length = BODY_LIMIT_BYTES
    headers = {name.lower(): value for name, value in request.headers.items()}
    received = Received(request.args, headers, request.get_data(cache=False))
    provider = request.args.get("provider")
    if provider is None:
        return ReceivedOut(state=take_job_event(received, get_settings()))
    return ReceivedOut(state=take_provider_call(received, provider, get_settings()))


@enrichment_webhook.get("/events")
@enrichment_webhook.input(EventListIn, location="query")
@enrichment_webhook.output(WebhookEventListOut)
@enrichment_webhook.doc(security="bearer")
@signed_in
def show_events(query_data: EventListIn) -> WebhookEventListOut:
    """List the calls that came for the client, newest first; operators see those of which nobody can tell whose they are."""
    before = decode_call(query_data.cursor) if query_data.cursor else None
    limit = query_data.limit + 1
    account = require_account()
    if account.is_operator and account.tenant_id is None:
        with system_scope() as connection:
            found = list_strays(connection, limit=limit, before=before)
    else:
        _, tenant_id = require_tenant()
        with tenant_scope(tenant_id) as connection:
            found = list_events(
                connection,
                limit=limit,
                before=before,
                state=query_data.state,
                job_id=query_data.job_id,
            )
    page = found[: query_data.limit]
    return WebhookEventListOut(
        events=[WebhookEventOut.model_validate(row) for row in page],
        next_cursor=encode_call(page[-1].id) if len(found) > len(page) else None,
    )
