"""Make jobs through the API: one lead, many, or addresses to be verified."""

import hashlib
import json
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, make_response, request
from sqlalchemy import Connection

from app.db.scope import tenant_scope
from app.enrichment.lookup import Kind
from app.enrichment.submit import (
    Order,
    Wish,
    create_lookup_job,
    create_validation_job,
    normal_lead,
)
from app.http.auth import require_tenant, signed_in
from app.http.extensions import dispatch_soon
from app.http.idempotent import claimed
from app.http.models import JobOut
from app.http.models_enrichment import (
    USUAL_TYPES,
    JobIn,
    ManyLeadsIn,
    OneLeadIn,
    ValidationJobIn,
)
from app.http.webhook_address import check_address
from app.jobs import idempotency, queries
from app.settings import get_settings
from app.verification.providers import check_provider

enrichment_jobs = APIBlueprint(
    "enrichment_jobs", __name__, url_prefix="/api/enrichment/jobs", tag="Jobs"
)
ROUTE = "POST /api/enrichment/jobs"


@enrichment_jobs.post("")
@enrichment_jobs.input(JobIn, location="json")
@enrichment_jobs.output(JobOut, status_code=202)
@enrichment_jobs.doc(
    security="bearer", responses={202: "The job; `Location` says where it is.", 409: "In flight."}
)
@signed_in
def create_job(json_data: JobIn) -> Response:
    """Make a job. With an `Idempotency-Key` it may be sent again safely."""
    account, tenant_id = require_tenant()
    with claimed(tenant_id, ROUTE, request.headers.get("Idempotency-Key")) as claim:
        digest = _digest(json_data)
        made = claim.check(digest) if claim else None
        if made is None:
            with tenant_scope(tenant_id) as connection:
                job_id = _create(connection, json_data, account.id)
                if claim:
                    idempotency.settle(connection, claim, digest, job_id)
            dispatch_soon()
    with tenant_scope(tenant_id) as connection:
        job = JobOut.of(queries.get_job(connection, made or job_id))
    response = make_response(job.model_dump(mode="json"), 202)
    response.headers["Location"] = job.links.self
    if made is not None:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _digest(said: JobIn) -> str:
    text = json.dumps(said.digest_source(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _create(connection: Connection, said: JobIn, created_by: UUID) -> UUID:
    job, settings = said.root, get_settings()
    order = Order(
        priority=job.priority,
        tags=job.tags,
        webhook_url=check_address(job.webhook_url) if job.webhook_url else None,
        max_retries=job.max_retries,
        scheduled_for=job.scheduled_for,
        title=job.title,
    )
    if isinstance(job, ValidationJobIn):
        named = job.payload.provider_id
        return create_validation_job(
            connection,
            job.payload.emails,
            order,
            settings=settings,
            created_by=created_by,
            verifier=check_provider(named) if named else None,
        )
    payload = job.payload
    wish = Wish(
        wanted=[Kind(kind) for kind in payload.enrichment_types or USUAL_TYPES[job.type]],
        provider=payload.provider_id,
        min_score=payload.min_score,
        verifies=payload.verify,
        cheapest_first=payload.cheapest_first,
    )
    return create_lookup_job(
        connection,
        job.type,
        _leads(payload),
        wish,
        order,
        settings=settings,
        created_by=created_by,
    )


def _leads(payload: OneLeadIn | ManyLeadsIn) -> list[dict[str, str]]:
    if isinstance(payload, OneLeadIn):
        return [normal_lead(payload.lead_id, payload.input_data.model_dump())]
    return [
        normal_lead(ref, payload.input_data[ref].model_dump() if ref in payload.input_data else {})
        for ref in payload.lead_ids
    ]
