"""Acts on many jobs: whatever crosses with them, each is done once, and no more than was asked for."""

import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app.db.scope import system_scope, tenant_scope
from app.jobs import acts, control
from app.jobs import lease as leases
from app.jobs import release as ledger
from app.jobs.acts import Act
from app.jobs.lease import Lease
from app.jobs.listing import JobFilter
from app.jobs.release import Released
from tasks import acts as task
from tests.factories import Tenant, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web

PATH = "/api/enrichment/jobs"


@pytest.fixture
def acme() -> Tenant:
    return make_tenant()


@pytest.fixture
def ann(web: Web, acme: Tenant) -> Caller:
    return web.caller(make_person(acme))


def post(ann: Caller, **more: Any) -> UUID:
    said = {"type": "email_validation", "payload": {"emails": ["a@example.com"]}, **more}
    answer = ann.post(PATH, json=said)
    assert answer.status_code == 202, answer.json
    return UUID((answer.json or {})["id"])


def status(ann: Caller, job: UUID) -> str:
    return str((ann.get(f"{PATH}/{job}").json or {})["status"])


def tags(ann: Caller, job: UUID) -> list[str]:
    return list((ann.get(f"{PATH}/{job}").json or {})["tags"])


def released(kind: str) -> list[Released]:
    with system_scope() as connection:
        found = ledger.release(connection, limit=100, unattended_window=100, presence_seconds=15)
    return [each for each in found if each.kind == kind]


def make_bulk(acme: Tenant, ids: list[UUID], act: Act) -> tuple[UUID, Released]:
    with tenant_scope(acme.id) as c:
        job = acts.create_bulk_job(c, ids, act, None)
    (chunk,) = [each for each in released("act") if each.job_id == job]
    return job, chunk


def run(chunk: Released) -> str:
    return str(task.act_on_jobs(chunk.chunk_id, chunk.fence, str(chunk.tenant_id)))


def results(job: UUID) -> int:
    return int(owner_sql("SELECT count(*) FROM job_results WHERE job_id = :j", {"j": job}))


@pytest.mark.parametrize("said", [{"status": None}, {"tag": ""}, {"tag": None, "q": ""}])
def test_a_filter_that_says_nothing_does_not_mean_every_job(
    ann: Caller, said: dict[str, Any]
) -> None:
    job = post(ann)
    answer = ann.post(f"{PATH}/bulk", json={"action": "cancel", "filter": said})
    assert answer.status_code == 422
    assert "every job" in str(answer.json)
    assert status(ann, job) == "pending"


def test_two_tags_at_once_are_both_kept(ann: Caller, acme: Tenant) -> None:
    job = post(ann)

    def second() -> None:
        with tenant_scope(acme.id) as c:
            acts.act_on(c, job, Act("tag", tag="b"))

    thread = threading.Thread(target=second)
    with tenant_scope(acme.id) as c:
        acts.act_on(c, job, Act("tag", tag="a"))
        thread.start()
        until = time.monotonic() + 10
        while not owner_sql("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert time.monotonic() < until
            time.sleep(0.01)
    thread.join()
    assert tags(ann, job) == ["a", "b"]


def test_a_job_has_as_many_tags_by_a_bulk_act_as_by_any(ann: Caller) -> None:
    job = post(ann, tags=[f"t{n}" for n in range(20)])
    said = {"jobIds": [str(job)], "action": "tag", "tag": "more"}
    told = ann.post(f"{PATH}/bulk", json=said).json or {}
    assert (told["done"], len(tags(ann, job))) == (0, 20)
    assert "20 tags" in told["skipped"][0]["reason"]
    again = ann.post(f"{PATH}/bulk", json={**said, "tag": "t3"}).json or {}
    assert again["done"] == 1, "it has that one already"


def test_a_filter_does_not_take_the_jobs_that_act_on_others(ann: Caller, acme: Tenant) -> None:
    job = post(ann, priority=2)
    bulk, _ = make_bulk(acme, [job], Act("tag", tag="x"))
    with tenant_scope(acme.id) as c:
        assert acts.find_jobs(c, JobFilter(priority=2)) == [job]
    assert status(ann, bulk) == "pending"


@pytest.fixture
def ends_in_between(web: Web) -> Iterator[None]:
    """Let jobs with a certain title refuse to change, as one does that ended since its status was read."""
    owner_sql("""CREATE FUNCTION ended() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'ended' USING ERRCODE = 'serialization_failure'; END $$""")
    owner_sql("""CREATE TRIGGER ended BEFORE UPDATE OF status ON jobs FOR EACH ROW WHEN (NEW.title = 'ends')
        EXECUTE FUNCTION ended()""")
    yield
    owner_sql("DROP FUNCTION ended CASCADE")


@pytest.mark.usefixtures("ends_in_between")
def test_a_refusal_by_the_database_leaves_the_rest_of_the_transaction(
    ann: Caller, acme: Tenant
) -> None:
    other, ended = post(ann), post(ann, title="ends")
    with tenant_scope(acme.id) as c:
        assert acts.act_on(c, other, Act("cancel")) is None
        assert "ended" in str(acts.act_on(c, ended, Act("cancel")))
    assert status(ann, other) == "cancelled"


def test_a_worker_that_lost_its_chunk_undoes_its_act_and_stops(
    ann: Caller, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [post(ann), post(ann)]
    bulk, chunk = make_bulk(acme, jobs, Act("cancel"))
    real = leases.take

    def taken_and_lost(*args: Any, **more: Any) -> Lease | None:
        lease = real(*args, **more)
        args[0].execute(
            text("UPDATE chunks SET fence = fence + 1 WHERE id = :c"), {"c": chunk.chunk_id}
        )
        return lease

    monkeypatch.setattr(leases, "take", taken_and_lost)
    assert run(chunk) == "lost"
    assert [status(ann, job) for job in jobs] == ["pending", "pending"]
    assert results(bulk) == 0


def test_a_cancelled_bulk_act_stops_after_the_job_that_it_is_at(
    ann: Caller, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [post(ann) for _ in range(3)]
    bulk, chunk = make_bulk(acme, jobs, Act("cancel"))
    real = leases.take

    def taken_and_cancelled(*args: Any, **more: Any) -> Lease | None:
        lease = real(*args, **more)
        control.cancel(args[0], bulk)
        return lease

    monkeypatch.setattr(leases, "take", taken_and_cancelled)
    assert run(chunk) == "cancelled"
    assert [status(ann, job) for job in jobs] == ["cancelled", "pending", "pending"]


def test_what_an_earlier_worker_did_is_not_done_again(
    ann: Caller, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [post(ann), post(ann)]
    bulk, chunk = make_bulk(acme, jobs, Act("tag", tag="x"))
    owner_sql(
        """INSERT INTO job_results (job_id, item_no, tenant_id, verdict, provider, checked_at)
           VALUES (:j, 1, :t, 'done', 'laneway', now())""",
        {"j": bulk, "t": acme.id},
    )
    done: list[UUID] = []
    monkeypatch.setattr(task, "act_on", lambda _c, job, _a: done.append(job))
    assert run(chunk) == "done"
    assert done == jobs[1:]
    assert results(bulk) == 2


def test_a_chunk_that_cannot_be_read_is_counted(ann: Caller, acme: Tenant) -> None:
    bulk, chunk = make_bulk(acme, [post(ann)], Act("cancel"))
    owner_sql("""UPDATE job_items SET lead = '{"ref": "no id"}' WHERE job_id = :j""", {"j": bulk})
    with pytest.raises(ValueError, match="badly formed"):
        run(chunk)
    found = owner_sql(
        "SELECT status || ' ' || attempts FROM chunks WHERE id = :c", {"c": chunk.chunk_id}
    )
    assert found == "running 1"


def test_a_job_put_off_is_taken_back_from_the_workers(ann: Caller, acme: Tenant) -> None:
    job = post(ann)
    (mine,) = [each for each in released("verify") if each.job_id == job]
    later = {"scheduledFor": "2099-01-01T00:00:00Z"}
    answer = ann.call("PUT", f"{PATH}/{job}", json=later)
    assert (answer.json or {})["status"] == "scheduled"
    with tenant_scope(acme.id) as c:
        assert leases.take(c, mine.chunk_id, mine.fence, worker=uuid4(), seconds=30) is None
    assert [each for each in released("verify") if each.job_id == job] == []
    assert ann.call("PUT", f"{PATH}/{job}", json={"scheduledFor": None}).status_code == 200
    assert [each.job_id for each in released("verify") if each.job_id == job] == [job]


def test_the_work_of_a_job_for_later_is_not_due(ann: Caller) -> None:
    job = post(ann, scheduledFor="2099-01-01T00:00:00Z")
    assert [each for each in released("verify") if each.job_id == job] == []


def test_an_empty_webhook_takes_the_address_away(ann: Caller) -> None:
    job = post(ann, webhookUrl="https://a.example.com/x")
    answer = ann.call("PUT", f"{PATH}/{job}", json={"webhookUrl": ""})
    assert (answer.status_code, (answer.json or {})["webhook_url"]) == (200, None)


def test_an_address_that_is_there_twice_is_asked_about_once(ann: Caller, acme: Tenant) -> None:
    emails = ["a@example.com", "b@example.com", "A@example.com", "a@example.com"]
    job = post(ann, payload={"emails": emails})
    (chunk,) = [each for each in released("verify") if each.job_id == job]
    with tenant_scope(acme.id) as c:
        lease = leases.take(c, chunk.chunk_id, chunk.fence, worker=uuid4(), seconds=30)
        assert lease
        items = leases.pending_items(c, lease)
    assert len({email for _, email in items}) == len(items)
    assert [item for item, _ in items][:2] == [1, 2]
    assert 4 not in [item for item, _ in items]


def test_lists_are_cut_by_time_and_search_takes_signs_as_they_are(ann: Caller) -> None:
    post(ann, title="50% off_x")
    post(ann, title="500 offax")

    def titles(query: str) -> list[str]:
        return [job["title"] for job in (ann.get(f"{PATH}?{query}").json or {})["jobs"]]

    assert titles("q=50%25") == ["50% off_x"]
    assert titles("q=off_x") == ["50% off_x"]
    assert titles("q=%5C") == []
    assert titles("createdBefore=2020-01-01T00:00:00Z") == []
    assert len(titles("createdBefore=2099-01-01T00:00:00Z")) == 2
