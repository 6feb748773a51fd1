"""Change jobs, act on many of them, and see what they did."""

from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, make_response

from app.db.scope import tenant_scope
from app.http.auth import require_tenant, signed_in
from app.http.extensions import dispatch_soon
from app.http.models import JobOut
from app.http.models_job_acts import BulkIn, BulkOut, EditIn, MetricsIn, MetricsOut, SkippedOut
from app.http.webhook_address import check_address
from app.jobs import acts, control, queries
from app.jobs.metrics import read_metrics

job_acts = APIBlueprint("job_acts", __name__, url_prefix="/api/enrichment/jobs", tag="Jobs")


@job_acts.put("/<uuid:job_id>")
@job_acts.input(EditIn, location="json")
@job_acts.output(JobOut)
@job_acts.doc(security="bearer", responses=[404, 409])
@signed_in
def edit_job(job_id: UUID, json_data: EditIn) -> JobOut:
    """Change a job's priority, webhook, tags or time; work that was not released yet follows."""
    _, tenant_id = require_tenant()
    if json_data.webhook_url:
        check_address(json_data.webhook_url)
    with tenant_scope(tenant_id) as connection:
        control.edit(connection, job_id, json_data.changes())
        job = queries.get_job(connection, job_id)
    dispatch_soon()
    return JobOut.of(job)


@job_acts.post("/bulk")
@job_acts.input(BulkIn, location="json")
@job_acts.output(BulkOut)
@job_acts.doc(security="bearer", responses={202: "A job does it: see `job`."})
@signed_in
def act_on_jobs(json_data: BulkIn) -> Response:
    """Cancel, retry, tag many jobs or change their priority, by ids or by a filter."""
    account, tenant_id = require_tenant()
    act = json_data.as_act()
    with tenant_scope(tenant_id) as connection:
        if json_data.filter is not None:
            ids = acts.find_jobs(connection, json_data.filter.as_filter())
        else:
            ids = acts.known_jobs(connection, json_data.job_ids or ())
        made = (
            acts.create_bulk_job(connection, ids, act, account.id)
            if len(ids) > acts.AT_ONCE
            else None
        )
    skipped, job = [], None
    if made is None:
        for job_id in ids:
            # Each for itself, as when they come one by one: what is done stays done.
            with tenant_scope(tenant_id) as connection:
                reason = acts.act_on(connection, job_id, act)
            if reason is not None:
                skipped.append(SkippedOut(id=job_id, reason=reason))
    else:
        with tenant_scope(tenant_id) as connection:
            job = JobOut.of(queries.get_job(connection, made))
    dispatch_soon()
    done = len(ids) - len(skipped) if made is None else None
    told = BulkOut(
        action=act.action,
        matched=len(ids),
        done=done,
        skipped=skipped,
        unknown=sorted(set(json_data.job_ids or ()).difference(ids)),
        job=job,
    )
    return make_response(told.model_dump(mode="json"), 200 if made is None else 202)


@job_acts.get("/metrics")
@job_acts.input(MetricsIn, location="query")
@job_acts.output(MetricsOut)
@job_acts.doc(security="bearer")
@signed_in
def show_metrics(query_data: MetricsIn) -> MetricsOut:
    """Show what the client's jobs did in a window of time."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        return MetricsOut.of(read_metrics(connection, query_data.window))
