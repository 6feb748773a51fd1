"""How a job stands: counts, rate, what it waits for, slow or stuck, and what an unchanged poll costs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tests.factories import (
    Person,
    Tenant,
    finish,
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

JOBS = "/api/enrichment/jobs"


@pytest.fixture
def person(web: Web) -> Person:
    return make_person(make_tenant())


@pytest.fixture
def acme(person: Person) -> Tenant:
    assert person.tenant
    return person.tenant


@pytest.fixture
def ann(web: Web, person: Person) -> Caller:
    return web.caller(person)


@pytest.fixture
def worker(web: Web) -> Iterator[None]:
    """A live worker on every shared lane."""
    worker = make_worker("enrichment-job-creation", "verification-queue", rows_per_second=12.0)
    yield
    owner_sql("DELETE FROM workers WHERE id = :id", {"id": worker})


def age(job: UUID, seconds: float) -> None:
    """Make everything that was noted about a job that much older."""
    values = {"j": job, "s": seconds}
    owner_sql(
        """UPDATE jobs SET started_at = started_at - make_interval(secs => :s), created_at = created_at - make_interval(secs => :s),
           updated_at = updated_at - make_interval(secs => :s) WHERE id = :j""",
        values,
    )
    owner_sql(
        """UPDATE chunks SET progress_at = progress_at - make_interval(secs => :s), mark_at = mark_at - make_interval(secs => :s),
           prior_at = prior_at - make_interval(secs => :s) WHERE job_id = :j""",
        values,
    )


def status(caller: Caller, job: UUID) -> dict[str, object]:
    answer = caller.get(f"{JOBS}/{job}/status")
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json
    return found


def waiting(caller: Caller, job: UUID) -> object:
    found = status(caller, job)["waiting"]
    return found and found["reason"]  # type: ignore[index]


@pytest.mark.usefixtures("worker")
def test_open_chunks_count_before_they_end(ann: Caller, acme: Tenant) -> None:
    job = make_job(acme, 6, chunk_rows=3, duplicates={6: 1})
    first = lease_chunk(acme, job)
    record(acme, first, {1: "valid", 2: "unknown"}, failures=[2])
    found = status(ann, job)
    assert (found["total"], found["done"], found["failed"]) == (6, 3, 1)
    assert {k: n for k, n in found["counts"].items() if n} == {"valid": 2, "unknown": 1}
    assert found["duplicate_rows"] == 1
    record(acme, first, {3: "invalid"})
    finish(acme, first)
    record(acme, lease_chunk(acme, job), {4: "catch_all"})
    found = status(ann, job)
    assert found["done"] == 5
    told = {"valid": 2, "invalid": 1, "catch_all": 1, "unknown": 1}
    assert {k: n for k, n in found["counts"].items() if n} == told
    listed = ann.get(JOBS).json["jobs"][0]
    assert (listed["done"], listed["counts"]) == (found["done"], found["counts"])


@pytest.mark.usefixtures("worker")
def test_the_rate_is_of_the_last_ten_seconds(ann: Caller, acme: Tenant) -> None:
    job = make_job(acme, 100)
    lease = lease_chunk(acme, job)
    assert status(ann, job)["rate_per_second"] is None
    age(job, 20)
    record(acme, lease, dict.fromkeys(range(1, 41), "valid"))
    found = status(ann, job)
    assert found["rate_per_second"] == pytest.approx(4.0, abs=0.2)
    assert found["eta_seconds"] == pytest.approx(15, abs=1)
    assert found["health"] == "ok"
    age(job, 11)
    found = status(ann, job)
    assert (found["rate_per_second"], found["eta_seconds"]) == (0.0, None)


@pytest.mark.usefixtures("worker")
def test_the_rate_leaves_out_what_a_chunk_did_before(ann: Caller, acme: Tenant) -> None:
    job = make_job(acme, 100)
    lease = lease_chunk(acme, job)
    record(acme, lease, dict.fromkeys(range(1, 51), "valid"))
    age(job, 9)
    record(acme, lease, dict.fromkeys(range(51, 61), "valid"))
    age(job, 9)
    record(acme, lease, dict.fromkeys(range(61, 71), "valid"))
    # 70 rows since the first record 18 s ago: the share of the last ten seconds.
    assert status(ann, job)["rate_per_second"] == pytest.approx(70 / 18, abs=0.3)
    age(job, 60)
    record(acme, lease, {71: "valid"})
    assert status(ann, job)["rate_per_second"] == pytest.approx(0.1)


def test_polling_an_unchanged_job_costs_no_body(ann: Caller, acme: Tenant) -> None:
    job = make_job(acme, 3)
    first = ann.get(f"{JOBS}/{job}/status")
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = ann.get(f"{JOBS}/{job}/status", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    record(acme, lease_chunk(acme, job), {1: "valid"})
    changed = ann.get(f"{JOBS}/{job}/status", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200


def test_a_job_waits_for_a_worker(ann: Caller, acme: Tenant, person: Person) -> None:
    job = make_job(acme, 3)
    assert waiting(ann, job) == "no_worker"
    make_lane(person, "verification-queue:client-own")
    worker = make_worker("verification-queue:client-own")
    assert waiting(ann, job) is None
    assert status(ann, job)["lane"] == {
        "queue": "verification-queue:client-own",
        "workers": 1,
        "dedicated": True,
        "fallback_since": None,
    }
    owner_sql(
        "UPDATE workers SET last_seen = clock_timestamp() - interval '1 minute' WHERE id = :w",
        {"w": worker},
    )
    assert waiting(ann, job) == "no_worker"


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("kept", "reason", "text"),
    [
        ("daily_quota", "daily_quota", "daily quota, resumes 00:00 UTC"),
        (
            "circuit_open",
            "circuit_open",
            "the keys rest after errors of the provider; next try 00:00 UTC",
        ),
        ("no_keys", "no_keys", "there is no enabled key for this client"),
        ("spacing", "window", "the keys' limits, next call 00:00:00 UTC"),
    ],
)
def test_a_held_lane_says_why_and_until_when(
    ann: Caller, acme: Tenant, kept: str, reason: str, text: str
) -> None:
    job = make_job(acme, 3)
    midnight = (datetime.now(UTC) + timedelta(days=1)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    owner_sql(
        "INSERT INTO lane_holds (tenant_id, kind, until, reason) VALUES (:t, 'verify', :u, :r)",
        {"t": acme.id, "u": midnight, "r": kept},
    )
    age(job, 12)
    found = status(ann, job)
    assert found["health"] == "waiting"
    assert found["waiting"]["reason"] == reason  # type: ignore[index]
    assert found["waiting"]["text"] == text  # type: ignore[index]


@pytest.mark.usefixtures("worker")
def test_a_job_behind_others_waits_in_the_queue(ann: Caller, acme: Tenant) -> None:
    job = make_job(acme, 3)
    age(job, 90)
    assert waiting(ann, job) == "queue"
    owner_sql(
        "UPDATE chunks SET run_at = clock_timestamp() + interval '1 minute' WHERE job_id = :j",
        {"j": job},
    )
    assert waiting(ann, job) == "retry"


@pytest.mark.usefixtures("worker")
def test_slow_is_told_from_stuck(ann: Caller, acme: Tenant) -> None:
    job = make_job(acme, 300)
    lease = lease_chunk(acme, job)
    record(acme, lease, dict.fromkeys(range(1, 31), "valid"))
    assert status(ann, job)["health"] == "ok"
    age(job, 20)
    assert status(ann, job)["health"] == "slow"
    age(job, 50)
    assert status(ann, job)["health"] == "stuck"
    record(acme, lease, {31: "valid"})
    assert status(ann, job)["health"] == "slow"
    ann.delete(f"{JOBS}/{job}")
    assert status(ann, job)["health"] == "ok", "its last calls are still being recorded"
    finish(acme, lease)
    assert status(ann, job)["health"] == "ended"
