"""Work driven over HTTP, in an installation without workers: POST /api/enrichment/process, against the simulated providers."""

import threading
import time
from collections.abc import Iterator
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery

from app.crypto import encrypt, fingerprint
from app.settings import get_settings
from sandbox.process import RunningSandbox, run_sandbox
from tasks import dispatcher, driving
from tasks.routes import router
from tasks.runtime import runtime
from tests.conftest import Environment
from tests.factories import (
    Tenant,
    make_job,
    make_lane,
    make_person,
    make_tenant,
    make_worker,
    owner_sql,
)
from tests.integration.http_world import Caller, Web

PATH = "/api/enrichment/process"
KEY, SECRET = "sandbox-key-0001", "a-secret-of-the-clock"
HEADERS = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with run_sandbox() as running:
        running.put_keys({"key": KEY})
        yield running


@pytest.fixture
def acme(module_environment: Environment) -> Tenant:
    owner_sql("DELETE FROM chunks")
    owner_sql("DELETE FROM workers")
    tenant = make_tenant()
    for provider in ("mailtester", "apollo"):
        owner_sql(
            """INSERT INTO api_keys (tenant_id, provider, fingerprint, secret_encrypted, hint, spacing_ms)
               VALUES (:t, :p, :f, :s, '0001', 0)""",
            {"t": tenant.id, "p": provider, "f": fingerprint(provider, KEY), "s": encrypt(KEY)},
        )
    return tenant


@pytest.fixture
def cron(
    module_environment: Environment, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """An installation that a clock drives: the secret is set, the providers are simulated."""
    given = {"CRON_SECRET": SECRET, "CHECK_MX": "false", "ENRICHMENT_CHAIN": "apollo"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    for name in ("MAILTESTER", "APOLLO"):
        monkeypatch.setenv(f"{name}_BASE_URL", sandbox.url)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.mark.usefixtures("cron")
def test_jobs_are_done_by_calls_alone(web: Web, acme: Tenant) -> None:
    ann = web.caller(make_person(acme))
    lead = {
        "leadId": "x",
        "inputData": {"firstName": "Anna", "lastName": "found-S", "domain": "a.example"},
    }
    said = [
        {"type": "single_lead_enrichment", "payload": {**lead, "enrichmentTypes": ["email"]}},
        {"type": "email_validation", "payload": {"emails": ["ok-a@example.com"]}},
    ]
    jobs = [(ann.post("/api/enrichment/jobs", json=each).json or {})["id"] for each in said]
    answer = web.caller().post(PATH, json={"maxJobs": 10, "timeout": 10_000}, headers=HEADERS)
    assert answer.status_code == 200, answer.json
    told = answer.json or {}
    assert (told["chunks"], told["by_ending"], told["has_more"]) == (2, {"done": 2}, False)
    found = [ann.get(f"/api/enrichment/jobs/{job}").json or {} for job in jobs]
    assert [(job["status"], job["done"]) for job in found] == [("completed", 1), ("completed", 1)]


@pytest.mark.usefixtures("cron")
def test_what_is_not_finished_in_time_is_handed_back_and_goes_on(web: Web, acme: Tenant) -> None:
    ann = web.caller(make_person(acme))
    emails = [f"slow400-{n}@example.com" for n in range(40)]
    said = {"type": "email_validation", "payload": {"emails": emails}}
    job = (ann.post("/api/enrichment/jobs", json=said).json or {})["id"]
    owner_sql("UPDATE api_keys SET spacing_ms = 100 WHERE tenant_id = :t", {"t": acme.id})
    calls = 0
    while (found := ann.get(f"/api/enrichment/jobs/{job}").json or {})["status"] != "completed":
        told = web.caller().post(PATH, json={"timeout": 3_000}, headers=HEADERS).json or {}
        assert told["ms"] < 6_000
        calls += 1
        assert calls < 12, found
    assert calls > 1
    assert (found["done"], found["failed"]) == (40, 0)


@pytest.mark.usefixtures("cron")
def test_a_list_that_can_not_be_read_in_time_is_left_for_a_longer_call(
    web: Web, acme: Tenant
) -> None:
    ann = web.caller(make_person(acme))
    job = (ann.upload().json or {})["id"]
    told = driving.drive(10, 0.0, concurrency=10)
    assert (told.by_ending, told.has_more) == ({"draining": 1}, True)
    left = owner_sql(
        "SELECT concat_ws(' ', status, attempts) FROM chunks WHERE job_id = :j", {"j": job}
    )
    assert left == "ready 0"
    assert owner_sql("SELECT count(*) FROM job_items WHERE job_id = :j", {"j": job}) == 0
    for _ in range(3):
        driving.drive(10, 10.0, concurrency=10)
    found = ann.get(f"/api/enrichment/jobs/{job}").json or {}
    assert (found["status"], found["done"]) == ("completed", 2)


@pytest.mark.usefixtures("cron")
def test_a_process_that_is_asked_to_end_begins_nothing(
    web: Web, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(acme, 3)
    monkeypatch.setattr(runtime, "drain_by", time.monotonic() + 20)
    told = web.caller().post(PATH, json={"timeout": 10_000}, headers=HEADERS).json or {}
    assert (told["chunks"], told["has_more"]) == (0, True)
    assert owner_sql("SELECT status FROM chunks WHERE job_id = :j", {"j": job}) == "ready"


@pytest.mark.usefixtures("cron")
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_nobody_drives_work_without_the_secret(web: Web, headers: dict[str, str]) -> None:
    answer = web.caller().post(PATH, json={}, headers=headers)
    assert (answer.status_code, (answer.json or {})["code"]) == (401, "unauthenticated")


def test_without_a_secret_in_the_settings_nobody_does(web: Web) -> None:
    assert web.caller().post(PATH, json={}, headers=HEADERS).status_code == 404
    assert web.caller().get(PATH).status_code == 200


def test_a_person_is_not_a_clock(web: Web, cron: None) -> None:
    ann: Caller = web.caller(make_person(make_tenant()))
    assert ann.post(PATH, json={}).status_code == 401


def own_app() -> Celery:
    """A publisher into this module's Redis."""
    app = Celery("driving", broker=get_settings().redis_url, set_as_current=False)
    app.conf.update(task_routes=(router,))
    return app


@pytest.mark.usefixtures("cron")
def test_what_a_live_worker_serves_is_left_to_it(acme: Tenant) -> None:
    """Its keys may be its own: this process would find none, and hold the client's lane."""
    queue = f"verification-queue:client-{uuid4()}"
    make_lane(make_person(acme), queue)
    make_worker(queue)
    owner_sql("DELETE FROM api_keys WHERE tenant_id = :t", {"t": acme.id})
    job = make_job(acme, 3)
    assert driving.drive(10, 6.0, concurrency=4, app=own_app()).chunks == 0
    assert owner_sql("SELECT status FROM chunks WHERE job_id = :j", {"j": job}) == "released"
    with redis.Redis.from_url(get_settings().redis_url) as client:
        assert client.llen(queue) == 1


@pytest.mark.usefixtures("cron")
def test_driving_leaves_no_messages_behind(web: Web, acme: Tenant) -> None:
    """Whoever submits releases too, into queues that nobody may serve."""
    with redis.Redis.from_url(get_settings().redis_url) as client:
        client.flushdb()
        make_job(acme, ["not-an-address"])
        assert dispatcher.dispatch(own_app()) == 1
        assert client.llen("verification-queue") == 1
        told = web.caller().post(PATH, json={"timeout": 5_000}, headers=HEADERS).json or {}
        assert told["by_ending"] == {"done": 1}
        assert client.llen("verification-queue") == 0


@pytest.mark.usefixtures("cron")
def test_no_more_chunks_are_driven_than_asked_for(web: Web, acme: Tenant) -> None:
    for _ in range(3):
        make_job(acme, ["not-an-address"])
    said = {"maxJobs": 2, "timeout": 6_000}
    told = web.caller().post(PATH, json=said, headers=HEADERS).json or {}
    assert (told["chunks"], told["has_more"]) == (2, True)
    told = web.caller().post(PATH, json=said, headers=HEADERS).json or {}
    assert (told["chunks"], told["has_more"]) == (1, False)


@pytest.mark.usefixtures("cron")
def test_a_chunk_that_begins_slowly_is_begun_once(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cold process loads, connects and reads keys for longer than it takes to look for work again."""
    make_job(acme, 3)
    begun, looks, looked_twice = list[int](), count(), threading.Event()
    find = driving._find

    def look(*given: Any) -> Any:
        if next(looks) == 2:
            looked_twice.set()
        return find(*given)

    def begin_slowly(chunk: int, fence: int, tenant_id: str, job: str = "") -> str:
        begun.append(chunk)
        assert looked_twice.wait(20)
        return "done"

    monkeypatch.setattr(driving, "_find", look)
    monkeypatch.setitem(driving.RUNS, "verify", begin_slowly)
    done = driving.drive(10, 10.0, concurrency=10)
    assert (len(begun), done.by_ending) == (1, {"done": 1})


@pytest.mark.usefixtures("cron")
def test_what_is_driven_counts_among_the_lanes_rows(web: Web, acme: Tenant) -> None:
    make_job(acme, ["not-an-address", "nor-this"])
    assert web.caller().post(PATH, json={}, headers=HEADERS).status_code == 200
    rows = owner_sql("SELECT sum(rows) FROM lane_usage WHERE tenant_id = :t", {"t": acme.id})
    assert rows == 2
