"""The course of a job and of its rows, over the API."""

import json
from uuid import UUID

import pytest
from sqlalchemy import text

from app.db.scope import tenant_scope
from app.jobs.control import cancel, retry_failed
from tests.factories import (
    Tenant,
    finish,
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
def tenant() -> Tenant:
    return make_tenant()


@pytest.fixture
def ann(web: Web, tenant: Tenant) -> Caller:
    return web.caller(make_person(tenant))


def test_a_jobs_turns_stand_in_order(ann: Caller, tenant: Tenant) -> None:
    job = make_job(tenant, 2)
    lease = lease_chunk(tenant, job)
    record(tenant, lease, {1: "valid", 2: "unknown"}, failures=[2])
    finish(tenant, lease)
    with tenant_scope(tenant.id) as c:
        assert retry_failed(c, job) == 1
    with tenant_scope(tenant.id) as c:
        cancel(c, job)
    told = ann.get(f"{PATH}/{job}/timeline").json
    assert told
    turns = [(turn["what"], turn["status"], turn["failed"]) for turn in told["turns"]]
    assert turns == [
        ("created", "pending", 0),
        ("started", "processing", 0),
        ("ended", "completed", 1),
        ("retried", "processing", 0),
        ("ended", "cancelled", 0),
    ]
    assert [turn["at"] for turn in told["turns"]] == sorted(turn["at"] for turn in told["turns"])


def test_waiting_and_going_on_leave_no_turns(ann: Caller, tenant: Tenant) -> None:
    job = make_job(tenant)
    for status in ("processing", "waiting", "processing", "retrying", "processing"):
        owner_sql("UPDATE jobs SET status = :s WHERE id = :j", {"s": status, "j": job})
    told = ann.get(f"{PATH}/{job}/timeline").json
    assert told
    assert [turn["what"] for turn in told["turns"]] == ["created", "started"]


def test_chunks_at_work_come_first_and_all_are_counted(ann: Caller, tenant: Tenant) -> None:
    job = make_job(tenant, 250, title="many.csv")
    lease = lease_chunk(tenant, job)
    record(tenant, lease, {1: "valid"})
    finish(tenant, lease)
    told = ann.get(f"{PATH}/{job}/timeline").json
    assert told
    assert told["by_status"] == {"ready": 2, "done": 1}
    assert [chunk["status"] for chunk in told["chunks"]] == ["ready", "ready", "done"]
    assert told["chunks"][-1]["done"] == 1


def test_a_job_of_before_has_what_its_row_knows(ann: Caller, tenant: Tenant) -> None:
    job = make_job(tenant)
    with tenant_scope(tenant.id) as c:
        cancel(c, job)
    owner_sql("DELETE FROM job_events WHERE job_id = :j", {"j": job})
    told = ann.get(f"{PATH}/{job}/timeline").json
    assert told
    assert [(t["what"], t["status"]) for t in told["turns"]] == [
        ("created", "pending"),
        ("ended", "cancelled"),
    ]


def test_every_attempt_of_a_row_is_shown_and_the_next_one(ann: Caller, tenant: Tenant) -> None:
    job = make_job(tenant, 2)
    for provider, outcome in (("apollo", "error"), ("hunter", "found")):
        owner_sql(
            """INSERT INTO lookup_attempts (tenant_id, job_id, item_no, provider, outcome, message, ms, at)
               VALUES (:t, :j, 2, :p, :o, 'said so', 120, now())""",
            {"t": tenant.id, "j": job, "p": provider, "o": outcome},
        )
    retries = json.dumps({"2": [1, 1893456000.0, "busy"]})
    owner_sql(
        "UPDATE chunks SET retries = CAST(:r AS jsonb) WHERE job_id = :j",
        {"r": retries, "j": job},
    )
    told = ann.get(f"{PATH}/{job}/items/2/attempts").json
    assert told
    assert [(a["provider"], a["outcome"], a["ms"]) for a in told["attempts"]] == [
        ("apollo", "error", 120),
        ("hunter", "found", 120),
    ]
    assert told["pending"] == {
        "attempts": 1,
        "not_before": "2030-01-01T00:00:00Z",
        "reason": "busy",
    }
    assert told["result"]["email"] == "lead2@example.com"
    first = ann.get(f"{PATH}/{job}/items/1/attempts").json
    assert first
    assert (first["attempts"], first["pending"]) == ([], None)


def called(tenant: Tenant, job: UUID, provider: str | None, state: str, items: str = "{}") -> None:
    owner_sql(
        """INSERT INTO lookup_events (tenant_id, provider, sender_key, event, state, job_id, item_nos)
           VALUES (:t, :p, gen_random_uuid()::text, :e, :s, :j, CAST(:i AS integer[]))""",
        {
            "t": tenant.id,
            "p": provider,
            "e": None if provider else "<b>crm</b>.synced\u202e",
            "s": state,
            "j": job,
            "i": items,
        },
    )


def test_calls_from_outside_stand_in_the_course_and_on_the_page(
    ann: Caller, web: Web, tenant: Tenant
) -> None:
    job, other = make_job(tenant, 9), make_job(tenant)
    called(tenant, job, "apollo", "matched", "{1,2,3,4,5,6,7}")
    called(tenant, job, "clearbit", "late", "{8}")
    called(tenant, job, None, "matched")
    called(tenant, other, "hunter", "unknown")
    told = ann.get(f"{PATH}/{job}/timeline").json or {}
    assert [(c["provider"], c["event"], c["state"], c["items"]) for c in told["calls"]] == [
        ("apollo", None, "matched", [1, 2, 3, 4, 5, 6, 7]),
        ("clearbit", None, "late", [8]),
        (None, "<b>crm</b>.synced\u202e", "matched", []),
    ]
    assert all(call["at"].endswith("Z") for call in told["calls"])
    assert ann.person
    page = web.sign_in(ann.person).get(f"/jobs/{job}").text
    # Rows of a list stand below its header.
    first, second = (call["lines"] for call in told["calls"][:2])
    assert (first[:3], second) == ([2, 3, 4], [9])
    assert "Answered about lines 2, 3, 4, 5, 6 and 2 more" in page
    assert "Came too late about line 9: no result changed" in page
    assert "&lt;b&gt;crm&lt;/b&gt;.synced\\u202e" in page
    assert "Hunter" not in page
    assert "Calls from outside" not in web.sign_in(ann.person).get(f"/jobs/{make_job(tenant)}").text


def test_another_clients_course_is_not_found(ann: Caller, web: Web) -> None:
    job = make_job(make_tenant())
    assert ann.get(f"{PATH}/{job}/timeline").status_code == 404
    assert ann.get(f"{PATH}/{job}/items/1/attempts").status_code == 404


@pytest.mark.parametrize("item", ["0", "4", "99999999999"])
def test_a_row_that_is_not_there_is_not_found(ann: Caller, tenant: Tenant, item: str) -> None:
    assert ann.get(f"{PATH}/{make_job(tenant)}/items/{item}/attempts").status_code == 404


def test_nobody_but_the_trigger_writes_turns(tenant: Tenant) -> None:
    job = make_job(tenant)
    statement = text(
        "INSERT INTO job_events (job_id, tenant_id, what, status) VALUES (:j, :t, 'ended', 'failed')"
    )
    with (
        pytest.raises(Exception, match="permission denied"),
        tenant_scope(tenant.id) as connection,
    ):
        connection.execute(statement, {"j": job, "t": tenant.id})
