"""The upload page. Its script sends the list to the API; without the script the same form comes here.

Both ways take the list through the same functions. The form's way goes through Werkzeug's parser, because the page's token
is a field of it: the file lies in a temporary file for a moment, not in memory.
"""

from typing import Any

from flask import redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from pydantic import ValidationError
from werkzeug.datastructures import MultiDict

from app.console.frame import pages
from app.enrichment.providers import PROVIDERS
from app.errors import InvalidInput, LanewayError
from app.http.auth import require_tenant
from app.http.extensions import dispatch_soon, storage
from app.http.limits import upload_limit
from app.http.problems import describe
from app.http.upload_form import UploadIn
from app.http.uploads import FORM_BYTES, submit_upload
from app.settings import get_settings
from app.uploads.lead_columns import FIELDS as LEAD_FIELDS


@pages.url_value_preprocessor
def _allow_a_list(endpoint: str | None, _values: dict[str, Any] | None) -> None:
    """Let a form bring a list, before the check for forged requests reads it; strangers get the small limit."""
    if endpoint == "console.send_upload" and "_user_id" in session:
        request.max_content_length = get_settings().upload_max_bytes + FORM_BYTES


@pages.get("/upload")
def upload() -> str:
    """Show the form."""
    require_tenant()
    return _page(None)


@pages.post("/upload")
@upload_limit
def send_upload() -> ResponseReturnValue:
    """Take a list from a form and show its job, or the form again with what is wrong."""
    account, tenant_id = require_tenant()
    part = request.files.get("file")
    try:
        if part is None or not part.filename:
            raise InvalidInput("Choose the file first.", field="file")
        order = UploadIn.of(_said()).as_order(part.filename)
        max_bytes = get_settings().upload_max_bytes
        stored = storage().put(str(tenant_id), part.filename, part.stream, max_bytes=max_bytes)
        job_id, _ = submit_upload(account, tenant_id, stored, order, None)
    except (LanewayError, ValidationError) as error:
        problem = describe(error)
        return _page(problem), problem.status
    dispatch_soon()
    return redirect(url_for("console.job", job_id=job_id), code=303)


def _said() -> MultiDict[str, str]:
    """Return the form without what it holds for another purpose than the chosen one."""
    said = MultiDict(request.form)
    if said.get("purpose", "verify") == "verify":
        for name in ("columns", "enrichment_types", "min_score", "provider", "cheapest_first"):
            said.poplist(name)
    return said


def _page(problem: object) -> str:
    settings = get_settings()
    return render_template(
        "console/upload.html",
        problem=problem,
        max_bytes=settings.upload_max_bytes,
        max_rows=settings.upload_max_rows,
        lead_fields=LEAD_FIELDS,
        finders=sorted(PROVIDERS),
    )
