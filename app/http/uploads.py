"""Uploads: a list is streamed to the storage, looked into, and becomes a job in one transaction, or leaves nothing."""

import io
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog
from apiflask import APIBlueprint
from flask import Response, make_response, request
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app.accounts.users import Account
from app.db.scope import tenant_scope
from app.enrichment.lookup import Kind
from app.enrichment.submit import Wish, lookup_params
from app.errors import InvalidInput, LanewayError, TooCostly, TooLarge
from app.http.auth import require_tenant, signed_in
from app.http.extensions import dispatch_soon, storage
from app.http.idempotent import claimed
from app.http.limits import upload_limit
from app.http.models import ColumnOut, JobOut, PreviewOut, PreviewProblemOut
from app.http.multipart import Fields, PartStream, read_form
from app.http.upload_form import UploadIn
from app.jobs import idempotency, queries
from app.jobs.submit import verifier_params
from app.settings import get_settings
from app.uploads.formats import HEAD_BYTES
from app.uploads.lead_columns import LeadsWanted, suggest
from app.uploads.limits import ReadLimits
from app.uploads.opening import inspect
from app.uploads.storage import StoredFile
from app.uploads.submit import UploadOrder, create_upload_job, look_into
from app.verification.providers import check_provider

log = structlog.get_logger(__name__)
uploads = APIBlueprint("uploads", __name__, url_prefix="/api/uploads", tag="Uploads")
ROUTE = "POST /api/uploads"
#: Boundaries, headers and fields around the file.
FORM_BYTES = 1024 * 1024
PREVIEW_ROWS = 8
_NO_PREVIEW = (
    "The workbook is too large to preview. Whether it is a list is found out when it is read."
)


@uploads.post("")
@uploads.doc(
    security="bearer",
    responses={
        202: "The job; `Location` says where it is.",
        409: "In flight.",
        413: "Too large.",
        422: "Refused.",
    },
)
@upload_limit
@signed_in
def create_upload() -> Response:
    """Upload a list and have it verified, or its leads enriched. With an `Idempotency-Key` it may be sent again safely."""
    account, tenant_id = require_tenant()
    key = request.headers.get("Idempotency-Key")
    with claimed(tenant_id, ROUTE, key) as claim:
        stored, order = _receive(tenant_id, claim)
        job_id, is_replay = submit_upload(account, tenant_id, stored, order, claim)
    dispatch_soon()
    with tenant_scope(tenant_id) as connection:
        job = JobOut.of(queries.get_job(connection, job_id))
    response = make_response(job.model_dump(mode="json"), 202)
    response.headers["Location"] = job.links.self
    if is_replay:
        response.headers["Idempotency-Replayed"] = "true"
    return response


class _Living:
    """A source that renews the request's claim while it is read: a slow line may take an hour."""

    def __init__(self, source: PartStream, tenant_id: UUID, claim: idempotency.Claim) -> None:
        self._source = source
        self._tenant_id = tenant_id
        self._claim = claim
        self._due = time.monotonic() + idempotency.RENEW_SECONDS

    def read(self, size: int = -1, /) -> bytes:
        """Return the next piece."""
        if time.monotonic() > self._due:
            self._due = time.monotonic() + idempotency.RENEW_SECONDS
            try:
                with tenant_scope(self._tenant_id) as connection:
                    idempotency.renew(connection, self._claim)
            except DBAPIError as error:
                log.warning("idempotency_key_not_renewed", error=type(error).__name__)
        return self._source.read(size)


def _receive(tenant_id: UUID, claim: idempotency.Claim | None) -> tuple[StoredFile, UploadOrder]:
    """Stream the body to the storage. Whatever goes wrong, no file is left."""
    max_bytes = get_settings().upload_max_bytes
    request.max_content_length = max_bytes + FORM_BYTES
    if (request.content_length or 0) > max_bytes + FORM_BYTES:
        text = (
            f"The file is larger than {max_bytes / 1024**2:,.0f} MB. Split it and upload the parts."
        )
        raise TooLarge(text, reason="too_many_bytes", max_bytes=max_bytes)
    boundary = request.mimetype_params.get("boundary")
    if request.mimetype != "multipart/form-data" or not boundary:
        raise InvalidInput(
            "Send the list as multipart/form-data, in the part `file`.", field="file"
        )
    kept: list[tuple[StoredFile, str]] = []

    def take(name: str, filename: str, part: PartStream, fields: Fields) -> None:
        if name != "file" or kept:
            raise InvalidInput("Send one file, in the part `file`.", field=name)
        # What is known to be wrong is said before a long list is read; fields may also come after it.
        UploadIn.of(fields)
        source = _Living(part, tenant_id, claim) if claim else part
        stored = storage().put(str(tenant_id), filename, source, max_bytes=max_bytes)
        kept.append((stored, filename))

    try:
        order = UploadIn.of(read_form(request.stream, boundary, take))
        if not kept or not (kept[0][1] or kept[0][0].size):
            raise InvalidInput("There is no file; send the list in the part `file`.", field="file")
    except BaseException:
        for stored, _ in kept:
            storage().delete(stored.key)
        raise
    stored, filename = kept[0]
    return stored, order.as_order(filename)


def submit_upload(
    account: Account,
    tenant_id: UUID,
    stored: StoredFile,
    order: UploadOrder,
    claim: idempotency.Claim | None,
) -> tuple[UUID, bool]:
    """Return the job and whether an earlier request made it. The file stays only with a job of its own."""
    digest = order.digest(stored)
    is_committing = False
    try:
        if claim and (made := claim.check(digest)):
            storage().delete(stored.key)
            return made, True
        found = look_into(storage(), stored, order, ReadLimits.from_settings(get_settings()))
        with tenant_scope(tenant_id) as connection:
            plan = plan_of(connection, order)
            job_id = create_upload_job(
                connection, stored, found, order, created_by=account.id, plan=plan
            )
            if claim:
                idempotency.settle(connection, claim, digest, job_id)
            is_committing = True
    except BaseException:
        # A connection lost in the commit may have committed; then the sweep of the storage decides about the file.
        if not is_committing:
            storage().delete(stored.key)
        raise
    log.info("upload_accepted", job_id=str(job_id), bytes=stored.size, is_judged=found is not None)
    return job_id, False


def plan_of(connection: Connection, order: UploadOrder) -> dict[str, Any]:
    """Return what the job's params say of how its rows are answered. Raises `InvalidInput` for an unknown provider."""
    settings = get_settings()
    if order.leads is None:
        named = check_provider(order.provider) if order.provider else None
        return dict(verifier_params(connection, named, settings))
    wish = Wish(
        wanted=[Kind(kind) for kind in order.wanted],
        provider=order.provider,
        min_score=order.min_score,
        verifies=order.purpose == "enrich_verify",
        cheapest_first=order.cheapest_first,
    )
    return lookup_params(connection, wish, settings)


@uploads.post("/preview")
@uploads.output(PreviewOut)
@uploads.doc(security="bearer")
@signed_in
def preview_upload() -> PreviewOut:
    """Say what the first 256 KB of a list look like. Nothing is kept."""
    part = request.files.get("file")
    if part is None:
        raise InvalidInput("Send the beginning of the list in the part `file`.", field="file")
    head = part.stream.read(HEAD_BYTES)
    if head.startswith(b"PK") and len(head) == HEAD_BYTES:
        # A workbook's directory is at its end, so the beginning of a long one can't be opened; it is no problem.
        return PreviewOut(
            format="xlsx",
            encoding=None,
            columns=[],
            email_column=None,
            lead_columns={},
            sample=[],
            problem=None,
        )
    column = request.form.get("email_column") or None
    is_of_leads = request.form.get("purpose", "verify") != "verify"
    try:
        found = inspect(
            io.BytesIO(head),
            email_column=column,
            leads=LeadsWanted(email_column=column, is_draft=True) if is_of_leads else None,
            limits=ReadLimits.from_settings(get_settings()),
        )
    except LanewayError as error:
        return _no_preview(error)
    return PreviewOut(
        format=found.format,
        encoding=found.encoding,
        columns=found.columns,
        email_column=None if found.email_index < 0 else _column(found.columns, found.email_index),
        lead_columns={f: _column(found.columns, n) for f, n in found.lead_columns.items()},
        sample=[[cell[:200] for cell in row] for row in found.sample_rows[:PREVIEW_ROWS]],
        problem=None,
    )


def _column(columns: Sequence[str], index: int) -> ColumnOut:
    return ColumnOut(index=index, name=columns[index])


def _no_preview(error: LanewayError) -> PreviewOut:
    """Say why there is none, and what the columns are and seem to be, where that is known."""
    detail = _NO_PREVIEW if isinstance(error, TooCostly) else error.message
    columns = [str(name) for name in error.extra.get("columns", ())]
    return PreviewOut(
        format=None,
        encoding=None,
        columns=columns,
        email_column=None,
        lead_columns={f: _column(columns, n) for f, n in suggest(columns).items()},
        sample=[],
        problem=PreviewProblemOut(code=str(error.extra.get("reason", error.code)), detail=detail),
    )
