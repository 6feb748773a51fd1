"""Pages about jobs: the list, one job with its results, cancel, retry what failed."""

from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.console.formats import number
from app.console.frame import pages
from app.console.sign_in import home_of
from app.console.words import VERDICTS, unit_of
from app.db.scope import tenant_scope
from app.errors import Conflict
from app.http.auth import require_account, require_tenant
from app.http.extensions import broker, dispatch_soon
from app.http.pagination import decode_item, decode_job, encode_item, encode_job
from app.jobs.control import cancel as cancel_job
from app.jobs.control import retry_failed
from app.jobs.listing import JobFilter, list_jobs
from app.jobs.queries import STATUSES, get_job
from app.jobs.results import list_errors, list_results
from app.jobs.status import get_status
from app.jobs.timeline import read_calls
from app.settings import get_settings
from app.webhooks.endpoints import count_switched_off

JOBS_A_PAGE = 25
ROWS_A_PAGE = 50


@pages.get("/")
def jobs() -> ResponseReturnValue:
    """Show the client's jobs, newest first. An operator without a client begins with the lanes."""
    account = require_account()
    if account.tenant_id is None:
        return redirect(home_of(account))
    cursor, chosen = request.args.get("cursor"), request.args.get("status")
    with tenant_scope(account.tenant_id) as connection:
        found = list_jobs(
            connection,
            JobFilter(statuses=(chosen,) if chosen in STATUSES else None),
            limit=JOBS_A_PAGE + 1,
            after=decode_job(cursor) if cursor else None,
        )
        switched_off = count_switched_off(connection)
    shown = found[:JOBS_A_PAGE]
    return render_template(
        "console/jobs.html",
        jobs=shown,
        cursor=cursor,
        chosen=chosen,
        switched_off=switched_off,
        next_cursor=encode_job(shown[-1].id) if len(found) > JOBS_A_PAGE else None,
    )


@pages.get("/jobs/<uuid:job_id>")
def job(job_id: UUID) -> str:
    """Show one job: how it stands, its rows (filter, search, page by the address), its bad rows."""
    _, tenant_id = require_tenant()
    verdict, cursor = request.args.get("verdict", ""), request.args.get("cursor")
    asked = {
        "verdict": verdict if verdict in VERDICTS else "",
        "q": request.args.get("q", "").strip()[:200],
        "cursor": cursor,
    }
    with tenant_scope(tenant_id) as connection:
        state = get_status(
            connection,
            job_id,
            presence_seconds=get_settings().presence_timeout_seconds,
            is_broker_up=broker().is_up(),
        )
        rows = list_results(
            connection,
            job_id,
            limit=ROWS_A_PAGE + 1,
            after=decode_item(cursor) if cursor else 0,
            verdict=asked["verdict"] or None,
            search=asked["q"] or None,
        )
        bad_rows = list_errors(connection, job_id) if state.job.bad_rows else []
        calls = read_calls(connection, job_id)
    results = rows[:ROWS_A_PAGE]
    return render_template(
        "console/job.html",
        job=state.job,
        state=state,
        results=results,
        next_cursor=encode_item(results[-1].item_no) if len(rows) > ROWS_A_PAGE else None,
        asked=asked,
        bad_rows=bad_rows,
        calls=calls,
    )


@pages.post("/jobs/<uuid:job_id>/cancel")
def cancel(job_id: UUID) -> ResponseReturnValue:
    """Stop a job and show it again."""
    _, tenant_id = require_tenant()
    try:
        with tenant_scope(tenant_id) as connection:
            cancel_job(connection, job_id)
    except Conflict as error:
        flash(error.message, "warn")
    else:
        flash("Cancelled. What has a verdict keeps it.", "done")
    return redirect(url_for("console.job", job_id=job_id), code=303)


@pages.post("/jobs/<uuid:job_id>/retry")
def retry(job_id: UUID) -> ResponseReturnValue:
    """Verify again what got no verdict, and show the job."""
    _, tenant_id = require_tenant()
    try:
        with tenant_scope(tenant_id) as connection:
            rows = retry_failed(connection, job_id)
            many, one, done_with = unit_of(get_job(connection, job_id).params)
    except Conflict as error:
        flash(error.message, "warn")
    else:
        dispatch_soon()
        flash(f"{number(rows)} {one if rows == 1 else many} will be {done_with} again.", "done")
    return redirect(url_for("console.job", job_id=job_id), code=303)
