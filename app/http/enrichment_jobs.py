"""Make jobs through the API: one lead, many, or addresses to be verified."""

import hashlib
import json

from apiflask import APIBlueprint
from flask import Response, request

from app.db.scope import tenant_scope
from app.http.auth import confirm_caller, require_tenant, signed_in
from app.http.callers import confirms_caller
from app.http.extensions import dispatch_soon
from app.http.idempotent import claimed
from app.http.job_making import Also, make_job
from app.http.models import JobOut
from app.http.models_enrichment import JobIn
from app.jobs import idempotency, queries

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
@confirms_caller
def create_job(json_data: JobIn) -> Response:
    """Make a job. With an `Idempotency-Key` it may be sent again safely."""
    key = request.headers.get("Idempotency-Key")
    if key is not None:
        # Nobody claims a key for somebody who may have been shut out.
        confirm_caller()
    account, tenant_id = require_tenant()
    with claimed(tenant_id, ROUTE, key) as claim:
        digest = _digest(json_data) if claim else ""
        before = claim.check(digest) if claim else None
        if before is None:
            made = make_job(json_data, tenant_id, account.id, _settling(claim, digest))
            dispatch_soon()
    if before is not None:
        with tenant_scope(tenant_id) as connection:
            made = queries.get_job(connection, before)
    job = JobOut.of(made)
    response = Response(job.model_dump_json(), 202, mimetype="application/json")
    response.headers["Location"] = job.links.self
    if before is not None:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _settling(claim: idempotency.Claim | None, digest: str) -> Also | None:
    if claim is None:
        return None
    return lambda connection, job_id: idempotency.settle(connection, claim, digest, job_id)


def _digest(said: JobIn) -> str:
    text = json.dumps(said.digest_source(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
