"""The course of a job, and of one of its rows."""

from uuid import UUID

from apiflask import APIBlueprint

from app.db.scope import tenant_scope
from app.http.auth import require_tenant, signed_in
from app.http.models_events import ItemCourseOut, TimelineOut
from app.jobs.queries import get_job
from app.jobs.timeline import read_item, read_timeline

timeline = APIBlueprint("timeline", __name__, url_prefix="/api/enrichment/jobs", tag="Jobs")


@timeline.get("/<uuid:job_id>/timeline")
@timeline.output(TimelineOut)
@timeline.doc(security="bearer")
@signed_in
def show_timeline(job_id: UUID) -> TimelineOut:
    """Show what happened to a job: its turns, and its chunks, those at work first; up to 100 of them."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        found = read_timeline(connection, get_job(connection, job_id))
    return TimelineOut.model_validate(found)


@timeline.get("/<uuid:job_id>/items/<int:item_no>/attempts")
@timeline.output(ItemCourseOut)
@timeline.doc(security="bearer")
@signed_in
def show_attempts(job_id: UUID, item_no: int) -> ItemCourseOut:
    """Show one row with every question that was asked about it, the first first; up to 200 of them."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        get_job(connection, job_id)
        found = read_item(connection, job_id, item_no)
    return ItemCourseOut.model_validate(found)
