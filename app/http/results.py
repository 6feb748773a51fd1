"""The rows of a job: a page of them, all of them as CSV, and those that could not be used."""

import re
from collections.abc import Iterator
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response

from app.db.scope import tenant_scope
from app.http.auth import require_tenant, signed_in
from app.http.models import (
    ExportIn,
    ResultListIn,
    ResultListOut,
    ResultOut,
    RowErrorListOut,
    RowErrorOut,
)
from app.http.pagination import decode_item, encode_item
from app.jobs.export import stream_csv
from app.jobs.queries import JobView, get_job
from app.jobs.results import list_errors, list_results

results = APIBlueprint("results", __name__, url_prefix="/api/enrichment/jobs", tag="Results")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@results.get("/<uuid:job_id>/results")
@results.input(ResultListIn, location="query")
@results.output(ResultListOut)
@results.doc(security="bearer")
@signed_in
def show_results(job_id: UUID, query_data: ResultListIn) -> ResultListOut:
    """List the rows with their answers, in the order of the file."""
    _, tenant_id = require_tenant()
    after = decode_item(query_data.cursor) if query_data.cursor else 0
    with tenant_scope(tenant_id) as connection:
        job = get_job(connection, job_id)
        found = list_results(
            connection,
            job_id,
            limit=query_data.limit + 1,
            after=after,
            verdict=query_data.verdict,
            search=query_data.q,
        )
    page = found[: query_data.limit]
    return ResultListOut(
        results=[ResultOut.model_validate(row) for row in page],
        next_cursor=encode_item(page[-1].item_no) if len(found) > len(page) else None,
        total_for_filter=_total(job, query_data),
    )


def _total(job: JobView, asked: ResultListIn) -> int | None:
    """Return how many rows the filter leaves, where that is known without counting."""
    if asked.q:
        return None
    return job.counts[asked.verdict] if asked.verdict else job.total


@results.get("/<uuid:job_id>/results.csv")
@results.input(ExportIn, location="query")
@results.doc(security="bearer", responses={200: "The list with the answers, as CSV."})
@signed_in
def download_results(job_id: UUID, query_data: ExportIn) -> Response:
    """Download the list with the answers: the original columns first, in the order of the file."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        job = get_job(connection, job_id)
    pieces: Iterator[str] = stream_csv(lambda: tenant_scope(tenant_id), job, query_data.verdict)
    response = Response((piece.encode() for piece in pieces), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{_file_name(job)}"'
    return response


def _file_name(job: JobView) -> str:
    stem = _UNSAFE.sub("_", job.title.rpartition(".")[0] or job.title).strip("._")
    return f"{stem[:80] or 'list'}-verified.csv"


@results.get("/<uuid:job_id>/errors")
@results.output(RowErrorListOut)
@results.doc(security="bearer")
@signed_in
def show_errors(job_id: UUID) -> RowErrorListOut:
    """List the rows that could not be used, with line and reason: the first 1,000; `total` counts all."""
    _, tenant_id = require_tenant()
    with tenant_scope(tenant_id) as connection:
        job = get_job(connection, job_id)
        found = list_errors(connection, job_id)
    errors = [RowErrorOut.model_validate(row) for row in found]
    return RowErrorListOut(errors=errors, total=job.bad_rows)
