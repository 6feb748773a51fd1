"""Jobs: see them, cancel them, try again what failed."""

import hashlib
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, json, make_response, request

from app.db.scope import tenant_scope
from app.http.auth import require_account, require_tenant, signed_in
from app.http.extensions import broker, dispatch_soon
from app.http.models import JobListOut, JobOut, RetriedOut, StatusOut
from app.http.models_job_acts import JobListIn
from app.http.pagination import decode_job, encode_job
from app.jobs import control, queries
from app.jobs.listing import COUNT_LIMIT, count_by_status
from app.jobs.listing import list_jobs as list_jobs_of
from app.jobs.status import get_status
from app.settings import get_settings

jobs = APIBlueprint("jobs", __name__, url_prefix="/api/enrichment/jobs", tag="Jobs")


@jobs.get("")
@jobs.input(JobListIn, location="query")
@jobs.output(JobListOut)
@jobs.doc(security="bearer")
@signed_in
def list_jobs(query_data: JobListIn) -> JobListOut:
    """List the jobs of the client, newest first; with `counts`, how many of each status there are."""
    tenant_id = require_account().tenant_id
    if tenant_id is None:
        return JobListOut(jobs=[], next_cursor=None, counts=None, counts_limit=COUNT_LIMIT)
    after = decode_job(query_data.cursor) if query_data.cursor else None
    wanted = query_data.as_filter()
    with tenant_scope(tenant_id) as connection:
        found = list_jobs_of(connection, wanted, limit=query_data.limit + 1, after=after)
        counts = count_by_status(connection, wanted) if query_data.counts else None
    page = found[: query_data.limit]
    following = encode_job(page[-1].id) if len(found) > len(page) else None
    return JobListOut(
        jobs=[JobOut.of(job) for job in page],
        next_cursor=following,
        counts=counts,
        counts_limit=COUNT_LIMIT,
    )


@jobs.get("/<uuid:job_id>")
@jobs.output(JobOut)
@jobs.doc(security="bearer")
@signed_in
def show_job(job_id: UUID) -> JobOut:
    """Show a job."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        return JobOut.of(queries.get_job(connection, job_id))


@jobs.get("/<uuid:job_id>/status")
@jobs.output(StatusOut)
@jobs.doc(security="bearer", responses={304: "Nothing has changed since the ETag sent."})
@signed_in
def show_status(job_id: UUID) -> Response:
    """Show how a job stands; light, made to be polled with `If-None-Match`."""
    _, tenant_id = require_tenant()
    presence = get_settings().presence_timeout_seconds
    is_broker_up = broker().is_up()
    with tenant_scope(tenant_id) as connection:
        status = get_status(
            connection, job_id, presence_seconds=presence, is_broker_up=is_broker_up
        )
    body = StatusOut.of(status).model_dump(mode="json")
    response = make_response(body)
    response.set_etag(_etag(body))
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response


def _etag(body: dict[str, Any]) -> str:
    """Return a hash of what is said, without when it was said."""
    said = {name: value for name, value in body.items() if name != "updated_at"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


@jobs.delete("/<uuid:job_id>")
@jobs.output(JobOut)
@jobs.doc(security="bearer", responses=[409])
@signed_in
def cancel_job(job_id: UUID) -> JobOut:
    """Cancel a job; what is done stays."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        control.cancel(connection, job_id)
        job = queries.get_job(connection, job_id)
    return JobOut.of(job)


@jobs.post("/<uuid:job_id>/retry")
@jobs.output(RetriedOut, status_code=202)
@jobs.doc(security="bearer", responses=[409])
@signed_in
def retry_job(job_id: UUID) -> RetriedOut:
    """Try again the rows for which nothing could be had, also of a dead letter."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        rows = control.retry_failed(connection, job_id)
        job = queries.get_job(connection, job_id)
    dispatch_soon()
    return RetriedOut(**JobOut.of(job).model_dump(), retried_rows=rows)
