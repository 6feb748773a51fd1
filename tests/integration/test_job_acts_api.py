"""Lists by filter, edits, bulk acts and figures over HTTP, with what a worker does of them."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from app.db.scope import system_scope, tenant_scope
from app.jobs import acts
from app.jobs import release as ledger
from tasks.acts import act_on_jobs
from tests.factories import (
    Tenant,
    lease_chunk,
    make_job,
    make_person,
    make_tenant,
    owner_sql,
    record,
)
from tests.integration.http_world import Caller, Web

PATH = "/api/enrichment/jobs"


@pytest.fixture
def acme() -> Tenant:
    return make_tenant()


@pytest.fixture
def ann(web: Web, acme: Tenant) -> Caller:
    return web.caller(make_person(acme))


def post(ann: Caller, **more: Any) -> dict[str, Any]:
    said = {"type": "email_validation", "payload": {"emails": ["a@example.com"]}, **more}
    answer = ann.post(PATH, json=said)
    assert answer.status_code == 202, answer.json
    return dict(answer.json or {})


def listed(ann: Caller, query: str) -> list[str]:
    answer = ann.get(f"{PATH}?{query}")
    assert answer.status_code == 200, answer.json
    return [job["title"] for job in (answer.json or {})["jobs"]]


def test_lists_are_filtered_by_what_jobs_are(ann: Caller) -> None:
    post(ann, title="one", priority=1, tags=["red"])
    post(ann, title="two", priority=2, tags=["red", "blue"])
    lead = {"leadId": "x", "inputData": {"email": "a@example.com"}}
    answer = ann.post(
        PATH, json={"type": "single_lead_enrichment", "payload": lead, "title": "three"}
    )
    assert answer.status_code == 202
    assert listed(ann, "") == ["three", "two", "one"]
    assert listed(ann, "tag=red") == ["two", "one"]
    assert listed(ann, "priority=2&tag=red") == ["two"]
    assert listed(ann, "type=single_lead_enrichment") == ["three"]
    assert listed(ann, "q=wo") == ["two"]
    assert listed(ann, "createdAfter=2099-01-01T00:00:00Z") == []
    assert listed(ann, "createdBefore=2099-01-01T00:00:00Z&status=pending") == [
        "three",
        "two",
        "one",
    ]
    assert listed(ann, "status=completed") == []


def test_pages_keep_to_the_filter_and_counts_go_beside(ann: Caller) -> None:
    for n in range(3):
        post(ann, title=f"t{n}", tags=["page"])
    post(ann, title="other")
    first = ann.get(f"{PATH}?tag=page&limit=2&counts=true").json or {}
    assert [job["title"] for job in first["jobs"]] == ["t2", "t1"]
    assert first["counts"]["pending"] == 3
    second = ann.get(f"{PATH}?tag=page&limit=2&cursor={first['next_cursor']}").json or {}
    assert [job["title"] for job in second["jobs"]] == ["t0"]
    assert (second["next_cursor"], second["counts"]) == (None, None)


def test_an_edit_reaches_work_that_was_not_released(ann: Caller) -> None:
    job = post(ann)
    changes = {"priority": 1, "webhookUrl": "https://new.example.com/hook", "tags": ["now"]}
    answer = ann.call("PUT", f"{PATH}/{job['id']}", json=changes)
    assert answer.status_code == 200, answer.json
    found = answer.json or {}
    assert (found["priority"], found["webhook_url"], found["tags"]) == (
        1,
        "https://new.example.com/hook",
        ["now"],
    )
    assert owner_sql("SELECT priority FROM chunks WHERE job_id = :j", {"j": job["id"]}) == 1


def test_a_time_can_be_changed_until_the_job_has_begun(ann: Caller, acme: Tenant) -> None:
    job = post(ann, scheduledFor="2099-01-01T00:00:00Z")
    path = f"{PATH}/{job['id']}"
    sooner = ann.call("PUT", path, json={"scheduledFor": None}).json or {}
    assert (sooner["status"], sooner["scheduled_for"]) == ("pending", None)
    assert owner_sql("SELECT run_at <= now() FROM chunks WHERE job_id = :j", {"j": job["id"]})
    lease_chunk(acme, UUID(job["id"]))
    answer = ann.call("PUT", path, json={"scheduledFor": "2099-01-01T00:00:00Z"})
    assert answer.status_code == 409
    assert "begun" in str(answer.json)


@pytest.mark.parametrize("said", [{}, {"colour": "red"}, {"priority": 9}, {"priority": None}])
def test_an_edit_that_makes_no_sense_is_refused(ann: Caller, said: dict[str, Any]) -> None:
    assert ann.call("PUT", f"{PATH}/{post(ann)['id']}", json=said).status_code == 422


def test_nobody_edits_or_cancels_the_jobs_of_another_client(ann: Caller, web: Web) -> None:
    eve = web.caller(make_person(make_tenant()))
    job = post(ann)
    assert eve.call("PUT", f"{PATH}/{job['id']}", json={"priority": 1}).status_code == 404
    told = eve.post(f"{PATH}/bulk", json={"jobIds": [job["id"]], "action": "cancel"}).json or {}
    assert (told["matched"], told["done"], told["skipped"]) == (0, 0, [])
    assert told["unknown"] == [job["id"]]
    found = ann.get(f"{PATH}/{job['id']}").json or {}
    assert found["status"] == "pending"


def test_a_few_jobs_are_acted_on_at_once_and_each_refusal_is_told(ann: Caller) -> None:
    one, two = post(ann), post(ann)
    ann.delete(f"{PATH}/{one['id']}")
    said = {"jobIds": [one["id"], two["id"]], "action": "priority", "priority": 1}
    told = ann.post(f"{PATH}/bulk", json=said).json or {}
    assert (told["matched"], told["done"], told["job"]) == (2, 1, None)
    assert [skip["id"] for skip in told["skipped"]] == [one["id"]]


def test_of_the_ids_only_jobs_of_the_client_are_counted(
    ann: Caller, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id of another client's is told as one that is nobody's, at once and where a job does it."""
    monkeypatch.setattr(acts, "AT_ONCE", 2)
    theirs = post(web.caller(make_person(make_tenant())))["id"]
    strangers = sorted([str(uuid4()), theirs])
    for known, code in (
        ([post(ann)["id"] for _ in range(2)], 200),
        ([post(ann)["id"] for _ in range(3)], 202),
    ):
        said = {"jobIds": [*known, known[0], *strangers], "action": "tag", "tag": "x"}
        answer = ann.post(f"{PATH}/bulk", json=said)
        told = answer.json or {}
        assert (answer.status_code, told["matched"], told["skipped"]) == (code, len(known), [])
        assert told["unknown"] == strangers
        if told["job"]:
            assert told["job"]["total"] == len(known)


@pytest.mark.parametrize(
    "said",
    [
        {"action": "cancel"},
        {"action": "cancel", "filter": {}},
        {"action": "cancel", "jobIds": []},
        {"action": "tag", "filter": {"tag": "x"}},
        {"action": "priority", "filter": {"tag": "x"}},
        {"action": "paint", "filter": {"tag": "x"}},
    ],
)
def test_an_act_that_says_not_what_or_on_which_is_refused(
    ann: Caller, said: dict[str, Any]
) -> None:
    assert ann.post(f"{PATH}/bulk", json=said).status_code == 422


def test_many_jobs_are_acted_on_by_a_job_with_its_own_progress(
    ann: Caller, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts, "AT_ONCE", 2)
    jobs = [post(ann, tags=["many"])["id"] for _ in range(4)]
    ann.delete(f"{PATH}/{jobs[0]}")
    answer = ann.post(f"{PATH}/bulk", json={"filter": {"tag": "many"}, "action": "cancel"})
    assert answer.status_code == 202
    told = answer.json or {}
    assert (told["matched"], told["done"], told["job"]["total"]) == (4, None, 4)
    with system_scope() as connection:
        released = ledger.release(connection, limit=100, unattended_window=100, presence_seconds=15)
    (chunk,) = [r for r in released if (r.kind, r.tenant_id) == ("act", acme.id)]
    assert act_on_jobs(chunk.chunk_id, chunk.fence, str(acme.id)) == "done"
    assert act_on_jobs(chunk.chunk_id, chunk.fence, str(acme.id)) == "stale"
    path = f"{PATH}/{told['job']['id']}"
    assert (ann.get(path).json or {})["status"] == "completed"
    rows = (ann.get(f"{path}/results").json or {})["results"]
    assert [row["verdict"] for row in rows] == ["done", "done", "done", "done"]
    assert {(ann.get(f"{PATH}/{job}").json or {})["status"] for job in jobs} == {"cancelled"}


def test_the_figures_of_a_window_tell_what_ended_how_and_what_waits(
    ann: Caller, acme: Tenant
) -> None:
    job = make_job(acme, 4)
    record(
        acme,
        lease_chunk(acme, job),
        {1: "valid", 2: "valid", 3: "invalid", 4: "unknown"},
        failures=[4],
    )
    owner_sql("UPDATE chunks SET lease_until = now() WHERE job_id = :j", {"j": job})
    with tenant_scope(acme.id) as c:
        from sqlalchemy import text

        chunk, fence = c.execute(
            text("SELECT id, fence FROM chunks WHERE job_id = :j"), {"j": job}
        ).one()
        c.execute(text("SELECT ledger_finish(:c, :f, 'done')"), {"c": chunk, "f": fence})
    post(ann)
    found = ann.get(f"{PATH}/metrics?window=600").json or {}
    sums = found["jobs"]
    assert (sums["created"], sums["completed"], sums["items_done"], sums["items_failed"]) == (
        2,
        1,
        4,
        1,
    )
    assert (sums["success_rate"], sums["error_rate"]) == (0.75, 0.25)
    assert [kind["type"] for kind in found["by_type"]] == ["email_validation"]
    assert found["latency_ms"]["p50"] > 0
    assert [(w["kind"], w["depth"]) for w in found["queue"]] == [("verify", 1)]
    assert ann.get(f"{PATH}/metrics?window=5").status_code == 422
