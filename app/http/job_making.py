"""From what a request asks for to a job in the ledger.

A request that makes one job and nothing else does so in one exchange with the database. For that, what a client's look-ups
are told (`lookup_params`: its chain) is remembered, with the version of the client's row that it was read from; the ledger
makes nothing once that row has changed, and the request takes the longer way, which reads anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from app.accounts.callers import Caller
from app.db.scope import tenant_scope
from app.enrichment.lookup import Kind
from app.enrichment.submit import Wish, lookup_params, normal_lead
from app.errors import NotFound
from app.http import callers
from app.http.auth import confirm_caller
from app.http.models_enrichment import USUAL_TYPES, JobIn, ManyLeadsIn, OneLeadIn, ValidationJobIn
from app.http.webhook_address import check_address
from app.jobs.new_job import AskedBy, NewJob, client_version, submit
from app.jobs.queries import JobView
from app.jobs.submit import verifier_params
from app.jobs.together import together
from app.settings import get_settings
from app.verification.providers import check_provider

#: Clients and what they wish for; where there are more, all are forgotten and read again.
MOST_REMEMBERED = 1_000
#: Its params, and the version of the client's row that they were made from.
_Remembered = tuple[Mapping[str, Any], str | None]
_remembered: dict[tuple[object, ...], _Remembered] = {}
#: What is done in a job's transaction, with its id.
Also = Callable[[Connection, UUID], None]


def make_job(
    said: JobIn,
    tenant_id: UUID,
    created_by: UUID,
    also: Also | None = None,
) -> JobView:
    """Make a job for the request's caller; `also` is done in its transaction, with its id.

    Raises `InvalidInput`, `Misconfigured`, and as `confirm_caller`.
    """
    new = _new_job(said, created_by)
    wish, verifier = _wish(said), _verifier(said)
    place = (tenant_id, wish, *get_settings().enrichment_chain)
    known = _remembered.get(place) if wish else ({}, None)
    if verifier is None and known is not None:
        params, version = known
        found = _submit_known(tenant_id, replace(new, params=params, version=version), also)
        if found is not None:
            return found
    confirm_caller()
    with tenant_scope(tenant_id) as connection:
        if wish:
            version = client_version(connection)
            params = lookup_params(connection, wish, get_settings())
            _remember(place, (params, version))
        else:
            params = verifier_params(connection, verifier, get_settings())
        made = submit(connection, tenant_id, replace(new, params=params))
        if made is None:
            raise NotFound("There is no such client.")
        if also is not None:
            also(connection, made.id)
    return made


def _submit_known(tenant_id: UUID, job: NewJob, also: Also | None) -> JobView | None:
    """Make a job of what is remembered of client and caller; None: that is out of date, and nothing was made."""
    if also is None:
        caller = callers.named()
        made = together.submit(tenant_id, replace(job, caller=_as_remembered(caller)))
        if made is not None:
            callers.note_confirmed()
        elif caller is not None:
            callers.note_unconfirmed(caller)
        return made
    confirm_caller()
    with tenant_scope(tenant_id) as connection:
        made = submit(connection, tenant_id, job)
        if made is not None:
            also(connection, made.id)
    return made


def _as_remembered(caller: Caller | None) -> AskedBy | None:
    if caller is None:
        return None
    return AskedBy(caller.version, caller.claim.token_id if caller.claim else None)


def _remember(place: tuple[object, ...], found: _Remembered) -> None:
    if len(_remembered) >= MOST_REMEMBERED:
        _remembered.clear()
    _remembered[place] = found


def _new_job(said: JobIn, created_by: UUID) -> NewJob:
    job = said.root
    verifies = isinstance(job, ValidationJobIn)
    return NewJob(
        kind=job.type,
        chunk_kind="verify" if verifies else "enrich",
        leads=_leads(said),
        chunk_rows=get_settings().chunk_rows,
        created_by=created_by,
        title=job.title,
        priority=job.priority,
        tags=job.tags,
        webhook_url=check_address(job.webhook_url) if job.webhook_url else None,
        scheduled_for=job.scheduled_for,
        max_retries=job.max_retries,
    )


def _verifier(said: JobIn) -> str | None:
    job = said.root
    if not isinstance(job, ValidationJobIn) or not job.payload.provider_id:
        return None
    return check_provider(job.payload.provider_id)


def _wish(said: JobIn) -> Wish | None:
    job = said.root
    if isinstance(job, ValidationJobIn):
        return None
    return Wish(
        wanted=tuple(Kind(kind) for kind in job.payload.enrichment_types or USUAL_TYPES[job.type]),
        provider=job.payload.provider_id,
        min_score=job.payload.min_score,
        cheapest_first=job.payload.cheapest_first,
        verifies=job.payload.verify,
    )


def _leads(said: JobIn) -> list[dict[str, str]]:
    payload = said.root.payload
    if isinstance(payload, OneLeadIn):
        return [normal_lead(payload.lead_id, payload.input_data.model_dump())]
    if not isinstance(payload, ManyLeadsIn):
        return [{"email": email} for email in payload.emails]
    return [
        normal_lead(ref, payload.input_data[ref].model_dump() if ref in payload.input_data else {})
        for ref in payload.lead_ids
    ]
