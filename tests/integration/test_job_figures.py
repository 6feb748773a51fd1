"""Figures of jobs: each job and row is counted once, whatever happens to it, and a long window is read soon."""

import time
from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from app.db.engine import make_engine
from app.db.scope import system_scope, tenant_scope
from app.jobs import acts, control
from app.jobs.acts import Act
from app.jobs.metrics import Metrics, Percentiles, read_metrics
from app.work.call_figures import CallFigures, write_figures
from tests.factories import (
    Tenant,
    finish,
    lease_chunk,
    make_job,
    make_tenant,
    owner_sql,
    record,
)
from tests.integration.http_world import Web

pytestmark = pytest.mark.usefixtures("web")
DAY = 86_400


@pytest.fixture
def acme(web: Web) -> Tenant:
    return make_tenant()


@pytest.fixture
def owner(owner_url: str) -> Iterator[Engine]:
    engine = make_engine(owner_url, role=None)
    yield engine
    engine.dispose()


def read(acme: Tenant, seconds: int = 600) -> Metrics:
    with tenant_scope(acme.id) as c:
        return read_metrics(c, seconds)


def cancel(acme: Tenant, job: UUID) -> None:
    with tenant_scope(acme.id) as c:
        control.cancel(c, job)


def age(seconds: int) -> None:
    """Let everything that was counted be so much older."""
    for table in ("job_figures", "job_took"):
        owner_sql(f"UPDATE {table} SET minute = minute - :n * interval '1 s'", {"n": seconds})


def test_a_retry_counts_each_row_and_job_once(acme: Tenant) -> None:
    job = make_job(acme, 4)
    lease = lease_chunk(acme, job)
    record(acme, lease, {1: "valid", 2: "valid", 3: "valid", 4: "unknown"}, failures=[4])
    finish(acme, lease)
    first = read(acme)
    assert (first.sums.completed, first.sums.items_done, first.sums.items_failed) == (1, 4, 1)
    with tenant_scope(acme.id) as c:
        control.retry_failed(c, job)
    owner_sql(
        "UPDATE jobs SET created_at = created_at - interval '3 days' WHERE id = :j", {"j": job}
    )
    age(1200)
    lease = lease_chunk(acme, job)
    record(acme, lease, {4: "valid"})
    finish(acme, lease)
    sums = read(acme, 3600).sums
    assert (sums.created, sums.completed, sums.items_done, sums.items_failed) == (1, 1, 4, 0)
    late = read(acme)
    assert (late.sums.items_done, late.sums.items_failed, late.sums.error_rate) == (0, 0, None)
    assert late.latency.p99 is not None
    assert late.latency.p99 < 1000 * 60, "it took since the retry, not since the job was made"


def test_a_dead_letter_that_a_retry_mends_is_none_any_more(acme: Tenant) -> None:
    job = make_job(acme, 1)
    owner_sql("UPDATE jobs SET max_retries = 0 WHERE id = :j", {"j": job})
    lease = lease_chunk(acme, job)
    record(acme, lease, {1: "unknown"}, failures=[1])
    finish(acme, lease)
    assert read(acme).sums.dead_letter == 1
    with tenant_scope(acme.id) as c:
        assert control.retry_failed(c, job) == 1
    lease = lease_chunk(acme, job)
    record(acme, lease, {1: "valid"})
    finish(acme, lease)
    sums = read(acme).sums
    assert (sums.dead_letter, sums.completed) == (0, 1)


def test_rows_that_are_recorded_after_a_cancel_count(acme: Tenant) -> None:
    job = make_job(acme, 4)
    lease = lease_chunk(acme, job)
    cancel(acme, job)
    record(acme, lease, {1: "valid", 2: "valid"})
    finish(acme, lease)
    found = read(acme)
    assert (found.sums.cancelled, found.sums.items_done) == (1, 2)
    assert owner_sql("SELECT sum(n) FROM job_took WHERE tenant_id = :t", {"t": acme.id}) == 1


def test_acts_on_jobs_are_no_rows(acme: Tenant) -> None:
    with tenant_scope(acme.id) as c:
        bulk = acts.create_bulk_job(c, [make_job(acme, 1)], Act("cancel"), None)
    cancel(acme, bulk)
    assert [kind.kind for kind in read(acme).by_kind] == ["email_validation"]
    assert read(acme).sums.cancelled == 0


def test_two_who_end_jobs_of_the_same_clients_never_wait_for_each_other(owner: Engine) -> None:
    """In two orders: with common rows of figures each would wait for the other's for ever."""
    one, two = make_tenant(), make_tenant()
    jobs = [[make_job(t, 1) for t in (one, two)] for _ in range(2)]
    ended = text("UPDATE jobs SET status = 'cancelled' WHERE id = :j")
    with owner.begin() as a, owner.begin() as b:
        for c in (a, b):
            c.execute(text("SET LOCAL lock_timeout = '2s'"))
        a.execute(ended, {"j": jobs[0][0]})
        b.execute(ended, {"j": jobs[1][1]})
        a.execute(ended, {"j": jobs[0][1]})
        b.execute(ended, {"j": jobs[1][0]})
    assert [read(t).sums.cancelled for t in (one, two)] == [2, 2]


def test_a_month_is_read_soon_and_in_few_steps(acme: Tenant) -> None:
    owner_sql(
        """WITH f AS (INSERT INTO job_figures (tenant_id, minute, kind, shard, created, completed)
               SELECT :t, date_trunc('minute', now()) - n * interval '1 minute', 'email_validation', s, 1, 1
               FROM generate_series(1, 44000) n CROSS JOIN generate_series(0, 1) s)
           INSERT INTO job_took (tenant_id, minute, kind, shard, place, n)
           SELECT :t, date_trunc('minute', now()) - n * interval '1 minute', 'email_validation', 0, 40 + n % 3, 1
           FROM generate_series(1, 44000) n""",
        {"t": acme.id},
    )
    began = time.monotonic()
    found = read(acme, 31 * DAY)
    assert time.monotonic() - began < 1.0
    assert (found.step_seconds, found.sums.created) == (21_600, 88_000)
    assert len(found.minutes) in (123, 124)
    assert sum(step.sums.created for step in found.minutes) == 88_000
    assert found.latency == Percentiles(1218.0, 1448.0, 1448.0)


@pytest.mark.parametrize(
    ("window", "step"),
    [(60, 60), (7_200, 60), (10_201, 300), (DAY, 900), (7 * DAY, 3600), (31 * DAY, 21_600)],
)
def test_a_window_is_told_in_no_more_steps_than_are_drawn(
    acme: Tenant, window: int, step: int
) -> None:
    owner_sql(
        """INSERT INTO job_figures (tenant_id, minute, kind, shard, created)
           SELECT :t, date_trunc('minute', now()) - n * interval '1 minute', 'email_validation', 0, 1
           FROM generate_series(0, :n) n""",
        {"t": acme.id, "n": window // 60},
    )
    found = read(acme, window)
    assert found.step_seconds == step
    # One more where a minute ended in between.
    assert found.sums.created in (window // 60, window // 60 + 1)
    assert sum(point.sums.created for point in found.minutes) == found.sums.created
    assert window / step <= len(found.minutes) <= window / step + 2
    began = [point.minute.timestamp() for point in found.minutes]
    assert all(moment % step == 0 for moment in began)
    assert len(set(began)) == len(began)


def test_calls_and_their_errors_are_told_by_provider(acme: Tenant) -> None:
    figures = CallFigures()
    for n in range(10):
        figures.add(acme.id, "apollo", 100.0, is_error=n < 3)
    for _ in range(2):
        with system_scope() as c:
            write_figures(c, figures.take())
        figures.add(acme.id, "apollo", 100_000.0, is_error=True)
    (found,) = read(acme).by_provider
    assert (found.provider, found.calls, found.errors) == ("apollo", 11, 4)
    assert found.latency.p50 is not None
    assert found.latency.p99 is not None
    assert 90 < found.latency.p50 < 130
    assert found.latency.p99 > 80_000
