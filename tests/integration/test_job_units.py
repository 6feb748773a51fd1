"""What the pages call a job's rows, and what is done with them: leads are looked up, addresses checked, jobs acted on."""

from uuid import UUID

import pytest

from app.db.scope import system_scope, tenant_scope
from app.jobs import acts, release
from app.jobs.acts import Act
from tasks.acts import act_on_jobs
from tests.factories import make_job, make_person, make_tenant
from tests.integration.http_world import Web
from tests.integration.test_enrichment_api import PATH, SINGLE


def act_on(tenant: UUID, job: UUID) -> UUID:
    """Tag a job by a job, and have that one run."""
    with tenant_scope(tenant) as connection:
        made = acts.create_bulk_job(connection, [job], Act("tag", tag="x"), None)
    with system_scope() as connection:
        found = release.release(connection, limit=100, unattended_window=100, presence_seconds=15)
    (chunk,) = [each for each in found if each.job_id == made]
    assert act_on_jobs(chunk.chunk_id, chunk.fence, str(tenant)) == "done"
    return made


@pytest.mark.parametrize(
    ("kind", "reach", "column"),
    [
        ("leads", "0 of 1 looked up", "Looked up"),
        ("addresses", "0 of 2 checked", "Checked"),
        ("jobs", "1 of 1 handled", "Handled"),
    ],
)
def test_each_kind_of_row_has_its_words(web: Web, kind: str, reach: str, column: str) -> None:
    tenant = make_tenant()
    person = make_person(tenant)
    if kind == "leads":
        job = UUID((web.caller(person).post(PATH, json=SINGLE).json or {})["id"])
    else:
        job = make_job(tenant, 2)
    if kind == "jobs":
        job = act_on(tenant.id, job)
    browser = web.sign_in(person)
    assert reach in browser.get("/").text
    page = browser.get(f"/jobs/{job}").text
    assert f" {kind} {reach.split(' ', 3)[3]}</p>" in page
    if kind == "jobs":
        assert "</svg>Done</span>" in page
        assert "Catch-all" not in page
        assert '<rect class="unknown" x="0.0" width="1000.0"' in page
    assert f'<th role="columnheader" scope="col">{column}</th>' in page
