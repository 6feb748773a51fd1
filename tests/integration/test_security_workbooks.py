"""Workbooks made to cost much: a request gives up early and leaves the judgement to the task, which has an end too.

No time is measured. Each of these workbooks takes ten times as long as a request may look into it.
"""

import io
import zipfile
from uuid import UUID

import pytest

from app.db.scope import tenant_scope
from app.errors import TooLarge
from app.jobs.submit import create_job
from app.settings import get_settings
from app.uploads.ingest import load_list
from app.uploads.limits import ReadLimits
from app.uploads.xlsx_sheet import BLOCK_ROWS
from tasks.uploads import parse_upload
from tests.factories import Person, make_person, make_tenant, owner_sql
from tests.integration.http_world import Web

TOO_LONG = "The workbook takes too long to read. Save the list as .csv and upload that."


def workbook(sheet: bytes, strings: bytes = b"") -> bytes:
    """Return a workbook of one sheet; its parts are given without their root elements."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("[Content_Types].xml", "<Types/>")
        parts.writestr(
            "xl/_rels/workbook.xml.rels",
            '<Relationships><Relationship Id="r1" Target="worksheets/sheet1.xml"/></Relationships>',
        )
        parts.writestr(
            "xl/workbook.xml",
            '<workbook xmlns:r="r"><sheets><sheet name="a" r:id="r1"/></sheets></workbook>',
        )
        rows = b"<worksheet><sheetData>" + sheet + b"</sheetData></worksheet>"
        parts.writestr("xl/worksheets/sheet1.xml", rows)
        parts.writestr("xl/sharedStrings.xml", b"<sst>" + strings + b"</sst>")
    return file.getvalue()


def blank_cells() -> bytes:
    return workbook(b"<row>" + b"<c/>" * 7_000_000 + b"</row>")


def far_string() -> bytes:
    # Not quite equal texts, or the workbook would be refused for its ratio.
    strings = b"".join(b"<si><t>%x</t></si>" % (n * 2654435761 % 2**32) for n in range(1_900_000))
    return workbook(b'<row><c t="s"><v>1899999</v></c></row>', strings)


@pytest.fixture
def ann(web: Web) -> Person:
    return make_person(make_tenant())


def parse(web: Web, job: str) -> str:
    """Run the job's parse chunk as a worker would; return how it ended."""
    assert web
    statement = """UPDATE chunks SET status = 'released', queue = 'q', released_at = now()
        WHERE job_id = :j RETURNING id || ' ' || fence || ' ' || tenant_id"""
    chunk, fence, tenant = str(owner_sql(statement, {"j": job})).split()
    return str(parse_upload(int(chunk), int(fence), tenant, job))


@pytest.mark.parametrize("make", [blank_cells, far_string])
def test_a_request_does_not_wait_for_a_costly_workbook(
    web: Web, ann: Person, make: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = make()  # type: ignore[operator] # pytest knows no types of parameters
    caller = web.caller(ann)
    accepted = caller.upload(content, name="leads.xlsx")
    assert accepted.status_code == 202, accepted.text
    job = accepted.json["id"]
    assert owner_sql("SELECT params ->> 'columns' FROM jobs WHERE id = :j", {"j": job}) == "[]"
    assert caller.get(f"/jobs/{job}").status_code == 200

    monkeypatch.setenv("UPLOAD_PARSE_SECONDS", "1.5")
    get_settings.cache_clear()
    try:
        assert parse(web, job) == "refused"
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    shown = caller.get(f"/api/enrichment/jobs/{job}").json
    assert (shown["status"], shown["error"]) == ("failed", TOO_LONG)


def test_the_preview_says_that_it_is_too_large(web: Web, ann: Person) -> None:
    data = {"file": (io.BytesIO(blank_cells()), "leads.xlsx")}
    shown = web.caller(ann).post("/api/uploads/preview", data=data).json
    assert shown["columns"] == []
    assert shown["problem"]["code"] == "too_costly"
    assert "too large to preview" in shown["problem"]["detail"]


def test_one_long_text_named_a_thousand_times_has_an_end(web: Web, ann: Person) -> None:
    assert ann.tenant
    cells = b'<row><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row>' * (20 * BLOCK_ROWS)
    strings = b"<si><t>ann@example.com</t></si><si><t>" + b"x" * 60_000 + b"</t></si>"
    with tenant_scope(ann.tenant.id) as connection:
        job: UUID = create_job(connection, kind="email_validation", title="list", params={})
    with (
        pytest.raises(TooLarge, match="too much text"),
        tenant_scope(ann.tenant.id) as connection,
    ):
        load_list(
            connection,
            io.BytesIO(workbook(cells, strings)),
            job_id=job,
            email_column=None,
            limits=ReadLimits(max_list_bytes=100 * 1024**2),
            bad_rows_kept=10,
        )
