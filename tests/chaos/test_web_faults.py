"""What people see while a server is away, and what becomes of what they uploaded meanwhile."""

from pathlib import Path
from uuid import UUID

import psutil
import pytest

from tests.chaos.harness import CLIENT, Stage
from tests.chaos.waiting import wait_for
from tests.chaos.web import Reply, Web
from tests.chaos.workers import INGEST
from tests.factories import Tenant, make_person

pytestmark = pytest.mark.chaos


@pytest.fixture
def web(stage: Stage, tmp_path: Path) -> Web:
    """The web, with somebody of the stage's client signed in."""
    web = Web(stage.installation.environment(), tmp_path / "web.log")
    stage.keep(web.process)
    web.start()
    web.sign_in(make_person(Tenant(stage.world.tenants[CLIENT], CLIENT)))
    return web


def leads(rows: int) -> bytes:
    return b"email\n" + b"".join(b"lead%d@example.com\n" % n for n in range(rows))


def job_of(reply: Reply) -> UUID:
    assert reply.status == 202, reply
    return UUID(reply.json["id"])


def test_upload_without_redis_is_taken_and_runs_later(stage: Stage, web: Web) -> None:
    """Accepted, said so on the status, and done when Redis is back; nobody has to do anything."""
    stage.start_workers("ingest", lane=INGEST, slots=2)
    stage.start_workers("one")
    stage.installation.redis.kill()
    job = job_of(web.upload(leads(60)))
    wait_for(
        lambda: (
            (web.get(f"/api/enrichment/jobs/{job}/status").json["waiting"] or {}).get("reason")
            == "backend_down"
        ),
        15,
        "the status says what it waits for",
    )
    assert web.get("/api/health").status == 503
    with stage.faults.strike("Redis down"):
        stage.installation.redis.resume()
    stage.wait_completed(job)
    stage.judge(job, none_repeated=True)
    wait_for(lambda: web.get("/api/health").status == 200, 15, "healthy again")


def test_without_postgres_503_and_back(stage: Stage, web: Web) -> None:
    """Every answer is a problem document with Retry-After; the same process serves when the server is back."""
    stage.start_workers("ingest", lane=INGEST, slots=2)
    stage.start_workers("one")
    stage.installation.postgres.kill()
    for reply in (
        web.get("/api/enrichment/jobs"),
        web.upload(leads(10)),
        web.get("/api/health"),
        web.get("/api/health/ready"),
    ):
        assert reply.status == 503
        assert int(reply.headers["Retry-After"]) > 0
    stage.installation.postgres.resume()
    wait_for(lambda: web.get("/api/health/ready").status == 200, 20, "ready again")
    with stage.faults.strike("PostgreSQL down"):
        job = job_of(web.upload(leads(60)))
    stage.wait_completed(job)
    stage.judge(job, none_repeated=True)


def test_an_upload_sent_again_after_a_crash_is_one_job(stage: Stage, web: Web) -> None:
    """The answer got lost with the web's process; the same key brings the same job."""
    stage.start_workers("ingest", lane=INGEST, slots=2)
    stage.start_workers("one")
    first = job_of(web.upload(leads(40), key="monday"))
    with stage.faults.strike("kill -9 of the web"):
        web.process.kill()
    web.start()
    assert job_of(web.upload(leads(40), key="monday")) == first
    stage.wait_completed(first)
    stage.judge(first, none_repeated=True)
    assert len(stage.world.rows("SELECT id FROM jobs")) == 1


@pytest.mark.parametrize("nth", range(2))
@pytest.mark.parametrize("whole", [True, False])
def test_ingest_killed_while_it_reads(stage: Stage, web: Web, whole: bool, nth: int) -> None:
    """The worker, or the one child that reads: the list is read again, and nothing of the first reading is left."""
    rows = 60_000
    (ingest,) = stage.start_workers("ingest", lane=INGEST, slots=2)
    job = job_of(web.upload(leads(rows)))
    wait_for(lambda: stage.chunks(job, "running"), 30, "the list is being read")
    if whole:
        ingest.kill()
        ingest.start()
    else:
        busiest = max(psutil.Process(ingest.pid).children(), key=lambda p: p.cpu_times().user)
        busiest.kill()
    wait_for(lambda: stage.world.job(job)["total_items"] == rows, 60, "the list was read")
    count = stage.world.rows("SELECT count(*) AS n FROM job_items WHERE job_id = :j", j=job)
    assert count == [{"n": rows}]
    chunks = stage.world.rows(
        "SELECT kind, count(*) AS n, max(fence) AS fence FROM chunks WHERE job_id = :j GROUP BY kind",
        j=job,
    )
    found = {chunk["kind"]: chunk for chunk in chunks}
    assert found["verify"]["n"] == rows // 20
    assert (found["parse"]["n"], found["parse"]["fence"]) == (1, 1), "the second attempt did it"
