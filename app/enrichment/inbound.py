"""Calls from outside about enrichment: who proves what, whose it is, and what becomes of it.

Proof comes first, over the raw body. There are three: the token of an address that this installation gave out (with the
vendor's own signature, where it signs), a signature with the installation's secret for that vendor, and one with its
secret for calls about jobs. The first names the tenant itself; for the others the tenant of the request or job is looked
up, and only then does anything happen, inside that tenant's scope. What was proved is never refused, only kept.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import text

from app.crypto import decrypt
from app.db.scope import system_scope, tenant_scope
from app.enrichment.callbacks import Ticket
from app.enrichment.events import Call, State, keep_event, keep_stray
from app.enrichment.late_answers import take_call
from app.enrichment.providers import LATE, PROVIDERS
from app.enrichment.standard_webhooks import verify_any
from app.enrichment.waits import wake_chunks
from app.errors import InvalidInput, Misconfigured, NotFound, NotProved
from app.settings import Settings, read_secrets

log = structlog.get_logger(__name__)
#: No vendor's call is near it; ten people are some 20 KB.
BODY_LIMIT_BYTES: Final = 1024 * 1024
_KEYS = text("SELECT secret_encrypted FROM keys_for(:tenant, :provider)")
_TENANT_OF_REQUEST = text("SELECT lookup_request_tenant(:id)")
_TENANT_OF_JOB = text("SELECT lookup_job_tenant(:id)")
_IS_THERE = text("SELECT 1 FROM tenants WHERE id = laneway_tenant()")


@dataclass(frozen=True, slots=True)
class Received:
    """A call as it came; `headers` by their names in lower case."""

    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class JobEvent(BaseModel):
    """The generic form. What else it says is kept with it."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    job_id: str = Field(alias="jobId", min_length=1, max_length=200)
    event: str = Field(min_length=1, max_length=200)


def take_provider_call(received: Received, provider: str, settings: Settings) -> State:
    """Take a vendor's call. Raises `NotFound` for no vendor of ours, `NotProved` for one that is not proved."""
    if provider not in PROVIDERS:
        raise NotFound("There is no such provider.")
    if "token" in received.query:
        return _take(*_by_address(received, provider, settings))
    call = _by_secret(received, provider, settings)
    tenant_id = _tenant_of_request(call.request)
    return _keep_stray(call) if tenant_id is None else _take(tenant_id, call)


def take_job_event(received: Received, settings: Settings) -> State:
    """Take a call about a job: kept and shown, and it changes nothing. Raises `NotProved`, `InvalidInput`."""
    secrets = read_secrets(settings.enrichment_webhook_secret)
    event_id = verify_any(received.headers, received.body, secrets)
    if event_id is None:
        raise _refusal("(none)")
    try:
        said = JobEvent.model_validate_json(received.body)
    except (ValidationError, RecursionError):
        said = None
    if said is None or "\0" in said.event:
        raise InvalidInput('Send {"jobId": "…", "event": "…", "data": …}.')
    job_id = _uuid(said.job_id)
    call = Call(None, f"id:{event_id}", received.body, event=said.event, job_id=job_id)
    with system_scope() as connection:
        tenant_id = connection.execute(_TENANT_OF_JOB, {"id": job_id}).scalar_one_or_none()
    if tenant_id is None:
        return _keep_stray(call)
    with tenant_scope(tenant_id) as connection:
        return "duplicate" if keep_event(connection, call, "matched") is None else "matched"


def _by_address(received: Received, provider: str, settings: Settings) -> tuple[UUID, Call]:
    """Prove a call by the address that it came to."""
    query = received.query
    tenant_id, request = _uuid(query.get("tenant", "")), _uuid(query.get("request", ""))
    if tenant_id is None or request is None:
        raise _refusal(provider)
    if not Ticket(provider, tenant_id, request).is_proved_by(query["token"], settings):
        raise _refusal(provider)
    if not _is_signed_by_vendor(received, provider, tenant_id, settings):
        raise _refusal(provider)
    digest = hashlib.sha256(request.bytes + received.body).hexdigest()
    return tenant_id, Call(provider, f"sha256:{digest}", received.body, request)


def _by_secret(received: Received, provider: str, settings: Settings) -> Call:
    """Prove a call by the installation's secret for the vendor: Standard Webhooks, or the vendor's own form."""
    secrets, request = _secrets_of(provider, settings), _uuid(received.query.get("request", ""))
    if (event_id := verify_any(received.headers, received.body, secrets)) is not None:
        return Call(provider, f"id:{event_id}", received.body, request)
    own = LATE.get(provider)
    if own and own.verify and own.signature_header:
        signature = received.headers.get(own.signature_header.lower())
        if any(own.verify(signature, received.body, secret) for secret in secrets):
            digest = hashlib.sha256(received.body).hexdigest()
            return Call(provider, f"sha256:{digest}", received.body, request)
    raise _refusal(provider)


def _is_signed_by_vendor(
    received: Received, provider: str, tenant_id: UUID, settings: Settings
) -> bool:
    """Tell whether a vendor that signs has signed, with a key that serves the tenant; of others the address is enough."""
    own = LATE.get(provider)
    if own is None or own.verify is None or own.signature_header is None:
        return own is not None
    signature = received.headers.get(own.signature_header.lower())
    keys = [*_keys_of(provider, tenant_id), *_secrets_of(provider, settings)]
    return any(own.verify(signature, received.body, key) for key in keys)


def _keys_of(provider: str, tenant_id: UUID) -> list[str]:
    with tenant_scope(tenant_id) as connection:
        rows = connection.execute(_KEYS, {"tenant": tenant_id, "provider": provider}).all()
    keys = []
    for row in rows:
        try:
            keys.append(decrypt(row.secret_encrypted))
        except Misconfigured as error:
            log.error("key_not_usable", provider=provider, detail=error.message)
    return keys


def _secrets_of(provider: str, settings: Settings) -> list[str]:
    return read_secrets(getattr(settings, f"{provider}_webhook_secret", None))


def _tenant_of_request(request: UUID | None) -> UUID | None:
    if request is None:
        return None
    with system_scope() as connection:
        found: UUID | None = connection.execute(_TENANT_OF_REQUEST, {"id": request}).scalar_one()
    return found


def _take(tenant_id: UUID, call: Call) -> State:
    with tenant_scope(tenant_id) as connection:
        # A client that was removed meanwhile: nobody is there to see it.
        if connection.execute(_IS_THERE).one_or_none() is None:
            return "unknown"
        state = take_call(connection, call)
    if call.request is not None:
        # Also of a call that came before: whoever took it may have died here.
        with tenant_scope(tenant_id) as connection:
            wake_chunks(connection, call.request)
    return state


def _keep_stray(call: Call) -> State:
    with system_scope() as connection:
        return keep_stray(connection, replace(call, request=None, job_id=None))


def _uuid(given: str) -> UUID | None:
    try:
        return UUID(given)
    except ValueError:
        return None


def _refusal(provider: str) -> NotProved:
    log.warning("call_refused", provider=provider)
    return NotProved("This call is not proved.")
