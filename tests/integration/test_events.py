"""The stream of events over a real gunicorn with two threads: who sees what, how soon, and how many at once."""

import http.client
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.accounts.api_tokens import create_token, revoke_token
from app.db.scope import tenant_scope
from app.http.auth import standing
from devtools.ports import find_free_port
from devtools.processes import Process
from devtools.supervisor import answers
from tests.conftest import ROOT, Environment
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
from tests.integration.event_stream import PATH, Stream
from tests.integration.http_world import Caller, Web, form_token

MOST, MOST_PER_CLIENT = 12, 8
THREADS = 2
Watch = Callable[..., Stream]


@pytest.fixture(scope="module")
def port(module_env: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A web of one process with two threads and few streams."""
    number, home = find_free_port(), tmp_path_factory.mktemp("events")
    argv = [sys.executable, "-m", "gunicorn", "app.factory:create_app()", "--no-control-socket"]
    argv += ["--worker-class", "app.http.worker.PatientWorker", "--workers", "1"]
    argv += ["--threads", str(THREADS), "--bind", f"127.0.0.1:{number}"]
    env = module_env | {
        "EVENT_STREAMS": str(MOST),
        "EVENT_STREAMS_PER_CLIENT": str(MOST_PER_CLIENT),
        "EVENT_HEARTBEAT_SECONDS": "1.5",
    }
    web = Process(name="web", argv=argv, log=Path(home) / "web.log", env=env, cwd=ROOT)
    web.start()
    try:
        web.wait_until(lambda: answers(f"http://127.0.0.1:{number}/api/health"), 60.0)
        yield number
    finally:
        web.stop(10.0)


@pytest.fixture
def tenant() -> Tenant:
    return make_tenant()


@pytest.fixture
def ann(web: Web, tenant: Tenant) -> Caller:
    return web.caller(make_person(tenant))


@pytest.fixture
def watch(port: int, ann: Caller) -> Iterator[Watch]:
    """Open streams, Ann's unless another is named; they are closed at the end, and the web has seen it."""
    opened: list[Stream] = []

    def open_one(caller: Caller = ann, path: str = PATH, **headers: str) -> Stream:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        stream = Stream.open(port, caller.headers | named, path)
        opened.append(stream)
        return stream

    yield open_one
    for stream in opened:
        stream.close()
    wait_until(lambda: open_streams(port) == 0)


def ask(port: int, path: str, headers: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    found = response.status, response.read().decode()
    connection.close()
    return found


def open_streams(port: int) -> float:
    _, text = ask(port, "/metrics", {})
    lines = [line for line in text.splitlines() if line.startswith("laneway_event_streams ")]
    return float(lines[0].split(" ")[1])


def wait_until(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def settled(stream: Stream) -> Stream:
    """Wait until the web listens: a stream that comes before is told to read its list again."""
    assert stream.status == 200
    assert stream.wait_for("hello").data == {"heartbeat_seconds": 1.5}
    while not stream.is_quiet(1.5):
        pass
    return stream


def test_a_new_job_is_told_within_a_second(watch: Watch, tenant: Tenant) -> None:
    stream = settled(watch())
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert stream.headers["Cache-Control"] == "no-store"
    assert "Content-Security-Policy" in stream.headers
    began = time.monotonic()
    job = make_job(tenant, title="fresh.csv")
    told = stream.wait_for("job", lambda data: data["id"] == str(job))
    assert time.monotonic() - began < 1.0
    assert (told.data["title"], told.data["status"]) == ("fresh.csv", "pending")


def test_a_job_is_told_as_the_api_shows_it(watch: Watch, tenant: Tenant, ann: Caller) -> None:
    stream = settled(watch())
    job = make_job(tenant, 2)
    lease = lease_chunk(tenant, job)
    record(tenant, lease, {1: "valid", 2: "invalid"})
    finish(tenant, lease)
    told = stream.wait_for("job", lambda data: data["status"] == "completed")
    assert told.data == ann.get(f"/api/enrichment/jobs/{job}").json


def test_rows_under_way_are_told_without_the_end_of_a_chunk(watch: Watch, tenant: Tenant) -> None:
    job = make_job(tenant, 3)
    lease = lease_chunk(tenant, job)
    stream = settled(watch())
    record(tenant, lease, {1: "valid"})
    assert stream.wait_for("job").data["done"] == 1


def test_another_client_sees_nothing(watch: Watch, web: Web, tenant: Tenant) -> None:
    eve = settled(watch(web.caller(make_person(make_tenant()))))
    ann = settled(watch())
    make_job(tenant)
    ann.wait_for("job")
    assert eve.is_quiet(1.5)


def test_a_stream_goes_on_where_it_broke_off(watch: Watch, tenant: Tenant) -> None:
    first = settled(watch())
    known = make_job(tenant, title="known")
    first.wait_for("job", lambda data: data["title"] == "known")
    first.close()
    missed = make_job(tenant, title="missed")
    # What the process heard before it was some seconds old, it does not vouch for.
    second = watch(Last_Event_ID=first.last_id)
    wait_for_memory = time.monotonic() + 20
    while (event := second.wait_for_any("job", "reset")).name == "reset":
        assert time.monotonic() < wait_for_memory
        time.sleep(0.5)
        second = watch(path=f"{PATH}?last_event_id={first.last_id}")
    told = {event.data["id"]}
    while str(missed) not in told:
        told.add(second.wait_for("job").data["id"])
    assert told <= {str(known), str(missed)}
    assert int(second.last_id) > int(first.last_id)


@pytest.mark.parametrize("last_id", ["1", "99999999999999999"])
def test_after_a_gap_the_list_is_to_be_read_again(watch: Watch, last_id: str) -> None:
    assert watch(Last_Event_ID=last_id).wait_for("reset")


def test_what_was_never_an_id_begins_anew(watch: Watch) -> None:
    stream = watch(Last_Event_ID="'; DROP TABLE jobs")
    assert stream.status == 200
    assert stream.next().name == "hello"


def test_a_heartbeat_carries_an_id(watch: Watch) -> None:
    stream = settled(watch())
    first, second = stream.wait_for("beat"), stream.wait_for("beat")
    assert int(first.id) < int(second.id)


def test_more_streams_than_threads_leave_the_web_free(watch: Watch, port: int, ann: Caller) -> None:
    streams = [watch() for _ in range(3 * THREADS)]
    assert {stream.status for stream in streams} == {200}
    status, _ = ask(port, "/api/enrichment/jobs", ann.headers)
    assert status == 200


def test_one_client_gets_no_more_than_its_part(watch: Watch, web: Web, port: int) -> None:
    streams = [watch() for _ in range(MOST_PER_CLIENT)]
    wait_until(lambda: open_streams(port) == MOST_PER_CLIENT)
    refused = watch()
    assert refused.status == 503
    assert refused.headers["Retry-After"] == "30"
    other = web.caller(make_person(make_tenant()))
    more = [watch(other) for _ in range(MOST - MOST_PER_CLIENT)]
    assert {stream.status for stream in more} == {200}
    wait_until(lambda: open_streams(port) == MOST)
    assert watch(other).status == 503
    streams[0].close()
    wait_until(lambda: open_streams(port) == MOST - 1)
    assert watch(other).status == 200


def test_when_postgresql_hangs_up_viewers_read_their_list_again(
    watch: Watch, tenant: Tenant
) -> None:
    stream = settled(watch())
    ended = owner_sql(
        """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
           WHERE query LIKE 'LISTEN laneway_job%' AND datname = current_database()"""
    )
    assert ended == 1
    stream.wait_for("reset")
    make_job(tenant, title="after")
    assert stream.wait_for("job").data["title"] == "after"


def test_nobody_watches_without_signing_in(port: int, web: Web) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        stream = Stream.open(port, headers)
        assert stream.status == 401
        stream.close()
    operator = web.caller(make_person(None, "operator"))
    stream = Stream.open(port, operator.headers)
    assert stream.status == 403
    stream.close()


def test_a_session_that_was_signed_out_may_not_watch(web: Web, tenant: Tenant) -> None:
    person = make_person(tenant)
    browser = web.sign_in(person)
    cookie = browser.get_cookie("laneway")
    assert cookie
    with web.app.test_request_context(headers={"Cookie": f"laneway={cookie.value}"}):
        look = standing()
    account = look()
    assert account
    assert account.id == person.id
    browser.post("/logout", data={"csrf_token": form_token(browser.get("/").text)})
    assert look() is None


def test_a_server_that_holds_no_streams_says_so(ann: Caller) -> None:
    answer = ann.get(PATH)
    assert answer.status_code == 503
    assert answer.json
    assert "poll" in answer.json["detail"]


def test_a_token_that_was_revoked_may_not_watch(web: Web, tenant: Tenant) -> None:
    person = make_person(tenant)
    with tenant_scope(tenant.id) as connection:
        token_id, token = create_token(connection, person.id, "watcher", ["jobs:read"])
    with web.app.test_request_context(headers={"Authorization": f"Bearer {token}"}):
        look = standing()
    assert look() is not None
    with tenant_scope(tenant.id) as connection:
        revoke_token(connection, token_id, None)
    assert look() is None
