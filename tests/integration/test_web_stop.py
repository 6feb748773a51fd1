"""A real gunicorn that is asked to stop: streams end, requests in flight are answered, driven work is handed back."""

import http.client
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.crypto import encrypt, fingerprint
from devtools.ports import find_free_port
from devtools.processes import Process
from devtools.supervisor import answers
from sandbox.process import RunningSandbox, run_sandbox
from tests.conftest import ROOT, Environment
from tests.factories import Tenant, make_job, make_person, make_tenant, owner_sql
from tests.integration.event_stream import Stream
from tests.integration.http_world import Web

KEY, SECRET = "sandbox-key-0001", "a-secret-of-the-clock"
PROCESS = "/api/enrichment/process"
#: As in the Procfile; what is longer is killed.
GRACE_SECONDS = 30.0
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with run_sandbox() as running:
        running.put_keys({"key": KEY})
        yield running


@pytest.fixture
def tenant(module_environment: Environment) -> Tenant:
    owner_sql("DELETE FROM chunks")
    owner_sql("DELETE FROM workers")
    tenant = make_tenant()
    owner_sql(
        """INSERT INTO api_keys (tenant_id, provider, fingerprint, secret_encrypted, hint, spacing_ms)
           VALUES (:t, 'mailtester', :f, :s, '0001', 250)""",
        {"t": tenant.id, "f": fingerprint("mailtester", KEY), "s": encrypt(KEY)},
    )
    return tenant


@pytest.fixture
def server(
    module_env: Environment, sandbox: RunningSandbox, tmp_path: Path
) -> Iterator[tuple[Process, int]]:
    """A web of one process that may be driven, and its port."""
    port = find_free_port()
    argv = [sys.executable, "-m", "gunicorn", "app.factory:create_app()", "--no-control-socket"]
    argv += ["--worker-class", "app.http.worker.PatientWorker", "--workers", "1"]
    argv += ["--threads", "8", "--graceful-timeout", "30", "--bind", f"127.0.0.1:{port}"]
    env = module_env | {
        "CRON_SECRET": SECRET,
        "CHECK_MX": "false",
        "MAILTESTER_BASE_URL": sandbox.url,
    }
    web = Process(name="web", argv=argv, log=tmp_path / "web.log", env=env, cwd=ROOT)
    web.start()
    try:
        web.wait_until(lambda: answers(f"http://127.0.0.1:{port}/api/health/ready"), 60.0)
        yield web, port
    finally:
        web.stop(40.0)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def wait_until(is_so: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def drive(port: int, milliseconds: int) -> tuple[int, dict[str, Any]]:
    """Have work driven for so long; return status and answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    connection.request("POST", PROCESS, json.dumps({"timeout": milliseconds}), headers)
    response = connection.getresponse()
    told = response.status, json.loads(response.read())
    connection.close()
    return told


def chunk_of(job: UUID) -> dict[str, Any]:
    found = owner_sql("SELECT row_to_json(c) FROM chunks c WHERE job_id = :j", {"j": job})
    return dict(found)


def test_driven_work_is_handed_back_and_its_call_answered(
    server: tuple[Process, int], tenant: Tenant, sandbox: RunningSandbox, pool: ThreadPoolExecutor
) -> None:
    web, port = server
    # Four calls a second: for longer than the process may take to end.
    job = make_job(tenant, [f"slow400-{n}@stop.example" for n in range(90)])
    call: Future[tuple[int, dict[str, Any]]] = pool.submit(drive, port, 50_000)
    wait_until(lambda: chunk_of(job)["done_items"] > 0, "rows are recorded")
    began = time.monotonic()
    web.request_stop()
    status, told = call.result(PATIENCE_SECONDS)
    took = time.monotonic() - began
    assert (status, told["by_ending"], told["has_more"]) == (200, {"draining": 1}, True)
    assert took < GRACE_SECONDS
    wait_until(lambda: not web.is_running, "the web ends")
    assert web.returncode == 0
    assert time.monotonic() - began < GRACE_SECONDS
    chunk = chunk_of(job)
    assert (chunk["status"], chunk["attempts"]) == ("ready", 0)
    # What was paid for is recorded.
    recorded = owner_sql("SELECT count(*) FROM job_results WHERE job_id = :j", {"j": job})
    assert recorded == len({call["email"] for call in sandbox.calls()})


def test_a_stream_ends_at_once_and_goes_on_elsewhere(
    server: tuple[Process, int], web: Web, tenant: Tenant, pool: ThreadPoolExecutor
) -> None:
    process, port = server
    ann = web.caller(make_person(tenant))
    stream = Stream.open(port, ann.headers)
    stream.wait_for("hello")
    job = make_job(tenant, [f"slow400-{n}@stream.example" for n in range(90)])
    call = pool.submit(drive, port, 50_000)
    wait_until(lambda: chunk_of(job)["done_items"] > 0, "rows are recorded")
    process.request_stop()
    assert stream.is_over()
    assert process.is_running, "it ended before the process, which has a call to answer"
    assert call.result(PATIENCE_SECONDS)[0] == 200
