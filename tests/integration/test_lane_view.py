"""What operators see of a lane: what is left, who is missing, who fell back; in the API, the page, the metrics, the command."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from app.db.scope import system_scope
from app.jobs.release import release
from app.settings import get_settings
from routing import queues
from tasks.queues_command import queues_command
from tests.factories import (
    Person,
    Tenant,
    lease_chunk,
    make_job,
    make_lane,
    make_person,
    make_tenant,
    make_worker,
    owner_sql,
    record,
)
from tests.integration.http_world import Caller, Web


@pytest.fixture(autouse=True)
def _empty(web: Web) -> Iterator[None]:
    yield
    owner_sql(
        "TRUNCATE tenants, workers, job_items, job_results, api_keys, lane_attendance CASCADE"
    )


@pytest.fixture
def operator(web: Web) -> Caller:
    return web.caller(make_person(role="operator"))


def make_client(slug: str = "pine", *, lane: bool = True) -> tuple[Tenant, Person, str]:
    tenant = make_tenant(slug)
    person = make_person(tenant)
    queue = f"{queues.DEDICATED_PREFIX}client-{slug}"
    if lane:
        make_lane(person, queue)
    return tenant, person, queue


def add_key(tenant: Tenant | None, spacing_ms: int = 250, **values: Any) -> None:
    number = owner_sql("SELECT count(*) FROM api_keys")
    columns = {"tenant_id": tenant and tenant.id, "spacing_ms": spacing_ms} | values
    columns |= {"fingerprint": f"key-{number}", "secret_encrypted": b"x", "hint": "last"}
    names = ", ".join(columns)
    owner_sql(f"INSERT INTO api_keys ({names}) VALUES (:{', :'.join(columns)})", columns)


def let_release() -> None:
    """Release as some worker's dispatcher would."""
    with system_scope() as c:
        release(c, limit=100, unattended_window=4, presence_seconds=15)


def let_fall_back(tenant: Tenant) -> None:
    owner_sql("UPDATE tenants SET fallback_after_seconds = 30 WHERE id = :t", {"t": tenant.id})
    owner_sql("UPDATE lane_attendance SET unattended_since = now() - interval '1 minute'")


def lanes(caller: Caller) -> dict[str, dict[str, Any]]:
    answer = caller.get("/api/lanes")
    assert answer.status_code == 200
    return {lane["queue"]: lane for lane in answer.json["lanes"]}


def metric(web: Web, series: str) -> float | None:
    text = web.caller().get("/metrics").text
    found = [line for line in text.splitlines() if line.startswith(f"{series} ")]
    return float(found[0].split()[-1]) if found else None


def test_rows_left_are_counted_from_ranges_and_what_is_recorded(operator: Caller) -> None:
    tenant, _, _ = make_client(lane=False)
    job = make_job(tenant, 25, chunk_rows=10)
    assert lanes(operator)["verification-queue"]["rows_left"] == 25
    lease = lease_chunk(tenant, job)
    record(tenant, lease, {1: "valid", 2: "invalid"})
    assert lanes(operator)["verification-queue"]["rows_left"] == 23
    assert lanes(operator)["enrichment-job-creation"]["rows_left"] is None


def test_time_to_drain_goes_by_the_rate_else_by_the_keys(operator: Caller) -> None:
    tenant, _, queue = make_client()
    add_key(tenant, spacing_ms=250)
    make_job(tenant, 40, chunk_rows=10)
    assert lanes(operator)[queue]["drain_seconds"] == 10.0
    # What it does beside verification takes nothing from the rate.
    make_worker(queue, "maintenance", rows_per_second=2.0)
    assert lanes(operator)[queue]["drain_seconds"] == 20.0


@pytest.mark.parametrize(
    ("policy", "own_key", "count"),
    [
        ("own_then_platform", False, 1),
        ("own_then_platform", True, 2),
        ("own", False, 0),
        ("own", True, 2),
        ("platform", True, 1),
    ],
)
def test_only_keys_in_force_count(operator: Caller, policy: str, own_key: bool, count: int) -> None:
    tenant, _, queue = make_client()
    owner_sql("UPDATE tenants SET key_policy = :p", {"p": policy})
    add_key(None)
    for _ in range(2 if own_key else 0):
        add_key(tenant, extra_windows='[{"requests": 3600, "seconds": 3600}]')
    lane = lanes(operator)[queue]
    assert lane["keys"] == count
    assert lane["keys_per_second"] == {0: None, 1: 4.0, 2: 2.0}[count]


def test_a_lane_without_a_worker_is_noted_by_who_looks(operator: Caller, web: Web) -> None:
    tenant, _, queue = make_client()
    make_job(tenant, 30)
    let_release()
    assert owner_sql("SELECT count(*) FROM lane_attendance") == 0
    lane = lanes(operator)[queue]
    assert owner_sql("SELECT queue FROM lane_attendance") == queue
    assert lane["unattended_since"]
    assert lane["advice"]["workers"] == 1
    owner_sql("UPDATE lane_attendance SET unattended_since = now() - interval '5 minutes'")
    assert 300 <= lanes(operator)[queue]["unattended_seconds"] < 400
    name = f'laneway_lane_unattended_seconds{{kind="verify",queue="{queue}"}}'
    assert (metric(web, name) or 0) >= 300
    make_worker(queue)
    assert lanes(operator)[queue]["unattended_since"] is None
    assert metric(web, name) is None


def test_work_that_nobody_releases_is_unattended_too(operator: Caller) -> None:
    tenant, _, queue = make_client()
    make_job(tenant, 30)
    owner_sql("UPDATE chunks SET run_at = now() - interval '10 minutes'")
    assert 600 <= lanes(operator)[queue]["unattended_seconds"] < 700
    gone = make_worker(queue)
    owner_sql(
        "UPDATE workers SET last_seen = now() - interval '2 minutes' WHERE id = :i", {"i": gone}
    )
    assert 120 <= lanes(operator)[queue]["unattended_seconds"] < 200
    owner_sql("DELETE FROM chunks")
    assert lanes(operator)[queue]["unattended_since"] is None, "without work nobody is missed"


def test_a_fall_back_is_named_and_keeps_asking_for_a_worker(operator: Caller, web: Web) -> None:
    tenant, _, queue = make_client()
    make_worker("verification-queue")
    make_job(tenant, 30)
    let_release()
    lanes(operator)
    let_fall_back(tenant)
    own = lanes(operator)[queue]
    assert (own["fallback_tenants"], own["dedicated"], own["rows_left"]) == (["pine"], True, 0)
    assert own["advice"]["workers"] == 1
    assert own["fallback_since"]
    labels = f'{{kind="verify",queue="{queue}"}}'
    assert metric(web, f"laneway_lane_fallback_clients{labels}") == 1
    assert metric(web, f"laneway_lane_workers_wanted{labels}") == 1
    assert lanes(operator)["verification-queue"]["rows_left"] == 30


def test_the_owner_of_a_job_is_told_where_it_runs(operator: Caller, web: Web) -> None:
    tenant, person, _ = make_client()
    job = make_job(tenant, 30, created_by=person)
    owner_sql("UPDATE jobs SET created_at = now() - interval '1 minute'")
    let_release()
    lanes(operator)
    status = web.caller(person).get(f"/api/enrichment/jobs/{job}/status")
    assert status.json["waiting"]["text"] == "no worker serves this lane at the moment"
    make_worker("verification-queue")
    owner_sql("UPDATE tenants SET fallback_after_seconds = 3600")
    status = web.caller(person).get(f"/api/enrichment/jobs/{job}/status")
    assert "the shared lane takes over at " in status.json["waiting"]["text"]
    assert status.json["waiting"]["until"]
    let_fall_back(tenant)
    lanes(operator)
    let_release()
    status = web.caller(person).get(f"/api/enrichment/jobs/{job}/status")
    assert (status.json["waiting"], status.json["lane"]["dedicated"]) == (None, False)
    assert status.json["lane"]["fallback_since"]
    owner_sql("DELETE FROM workers")
    status = web.caller(person).get(f"/api/enrichment/jobs/{job}/status")
    assert status.json["waiting"]["text"].startswith("neither its own lane nor the shared one")


def test_parts_of_the_shared_lane_cover_the_last_hour(operator: Caller, web: Web) -> None:
    big, small, idle = (make_tenant(slug) for slug in ("big", "small", "idle"))
    for tenant, rows, minutes in ((big, 60, 1), (big, 30, 30), (small, 10, 2), (idle, 500, 90)):
        owner_sql(
            """INSERT INTO lane_usage (minute, queue, tenant_id, rows)
               VALUES (date_trunc('minute', now()) - make_interval(mins => :m), 'verification-queue', :t, :r)""",
            {"t": tenant.id, "r": rows, "m": minutes},
        )
    answer = operator.get("/api/lanes").json
    assert answer["shared_last_hour"] == [
        {"tenant": "big", "rows": 90, "part": 0.9},
        {"tenant": "small", "rows": 10, "part": 0.1},
    ]
    assert answer["shared_clients"] == 2
    assert metric(web, 'laneway_client_shared_part{tenant="big"}') == 0.9
    assert metric(web, 'laneway_client_shared_part{tenant="idle"}') is None


def test_the_command_says_what_each_lane_wants(web: Web) -> None:
    tenant, _, queue = make_client()
    add_key(tenant)
    make_job(tenant, 30)
    table = CliRunner().invoke(queues_command, ["--advise"])
    assert table.exit_code == 0, table.output
    title, *rows = table.output.splitlines()
    assert {"WANTED", "DRAIN", "FALL-BACK", "ADVICE"} <= set(title.split())
    (row,) = (row for row in rows if row.startswith(queue))
    assert row.endswith("Start 1 worker.")
    as_json = CliRunner().invoke(queues_command, ["--advise", "--json"])
    (lane,) = (lane for lane in json.loads(as_json.output) if lane["queue"] == queue)
    assert (lane["advice"]["workers"], lane["advice"]["workers_fed"]) == (1, 1)
    assert lane["unattended_since"].startswith("20")


def test_the_assumptions_are_settings(operator: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, _, queue = make_client()
    add_key(tenant, spacing_ms=10, requests_per_window=None)
    make_job(tenant, 500, chunk_rows=100)
    monkeypatch.setenv("DRAIN_TARGET_SECONDS", "10")
    monkeypatch.setenv("SLOTS_PER_WORKER", "2")
    monkeypatch.setenv("TYPICAL_CALL_SECONDS", "3.2")
    get_settings.cache_clear()
    try:
        # 32 calls of 3.2 s a slot, one of two slots: 10 a second and worker; 50 are wanted.
        assert lanes(operator)[queue]["advice"]["workers"] == 5
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
