"""The hub in this process, over pairs of sockets: who is let go of, when, and that nothing stays behind."""

import socket
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy.exc import OperationalError

from app.accounts.users import Account, find_account, get_account
from app.db.scope import system_scope
from app.http.live import hub as hub_module
from app.http.live import keeping
from app.http.live import viewer as viewer_module
from app.http.live.hub import EventHub
from app.http.live.viewer import Viewer
from tests.conftest import Environment
from tests.factories import Person, Tenant, make_job, make_person, make_tenant, owner_sql
from tests.integration.event_stream import Stream

HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


@pytest.fixture(autouse=True)
def quick(module_environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask often who watches, so that a test need not wait a minute."""
    monkeypatch.setattr(keeping, "ROUND_SECONDS", 0.05)
    monkeypatch.setattr(keeping, "CHECK_SECONDS", 0.2)
    monkeypatch.setattr(hub_module, "LOOK_SECONDS", 0.2)


@pytest.fixture
def hub() -> Iterator[EventHub]:
    made = EventHub(heartbeat_seconds=0.5)
    yield made
    made.stop()


@pytest.fixture
def tenant() -> Tenant:
    return make_tenant()


@pytest.fixture
def ann(tenant: Tenant) -> Person:
    return make_person(tenant)


def look_of(person: Person) -> Callable[[], Account | None]:
    """The look that a bearer's stream has."""
    with system_scope() as connection:
        account = get_account(connection, person.id)
    assert account

    def look() -> Account | None:
        with system_scope() as connection:
            return find_account(connection, person.id, account.stamp)

    return look


def watch(hub: EventHub, tenant: Tenant, look: Callable[[], Account | None]) -> Stream:
    ours, theirs = socket.socketpair()
    hub.adopt(HEAD, theirs, Viewer(tenant.id, look, None))
    stream = Stream(ours).read_head()
    assert stream.next().name == "hello"
    return stream


def wait_until(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ends(stream: Stream) -> list[str]:
    """Read to the end; return the names of what came."""
    names: list[str] = []
    deadline = time.monotonic() + stream.patience
    try:
        while time.monotonic() < deadline:
            names.append(stream.next().name)
        raise TimeoutError("the stream goes on")
    except EOFError:
        return names


def is_open(stream: Stream) -> bool:
    try:
        return bool(stream.next())
    except (EOFError, ConnectionResetError):
        return False


def test_who_is_shut_out_is_told_and_let_go(hub: EventHub, tenant: Tenant, ann: Person) -> None:
    stream = watch(hub, tenant, look_of(ann))
    stream.wait_for("beat")
    owner_sql("UPDATE users SET is_active = false WHERE id = :id", {"id": ann.id})
    assert ends(stream)[-1] == "end"
    wait_until(lambda: hub.count() == 0)


def test_who_moves_to_another_client_is_let_go(hub: EventHub, tenant: Tenant, ann: Person) -> None:
    stream = watch(hub, tenant, look_of(ann))
    owner_sql(
        "UPDATE users SET tenant_id = :t WHERE id = :id", {"t": make_tenant().id, "id": ann.id}
    )
    assert ends(stream)[-1] == "end"


def test_who_is_still_welcome_stays(
    hub: EventHub, tenant: Tenant, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Looks that take as long as this, on a busy machine, would end the stream.
    monkeypatch.setattr(keeping, "TRUST_SECONDS", 5.0)
    stream = watch(hub, tenant, look_of(ann))
    until = time.monotonic() + 3 * keeping.CHECK_SECONDS + keeping.TRUST_SECONDS
    while time.monotonic() < until:
        assert stream.next().name in {"beat", "reset"}
    assert hub.count(tenant.id) == 1


def test_where_nobody_can_say_who_watches_the_stream_ends(
    hub: EventHub, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "TRUST_SECONDS", 2.0)

    def look() -> Account | None:
        raise OperationalError("SELECT 1", {}, Exception("away"))

    began = time.monotonic()
    names = ends(watch(hub, tenant, look))
    assert "end" not in names
    assert time.monotonic() - began >= keeping.TRUST_SECONDS


def test_a_stream_ends_by_age(
    hub: EventHub, tenant: Tenant, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer_module, "LIFE_SECONDS", 0.3)
    assert "end" not in ends(watch(hub, tenant, look_of(ann)))


def test_who_takes_nothing_is_let_go_and_others_go_on(
    hub: EventHub, tenant: Tenant, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer_module, "UNSENT_BYTES", 0)
    streams = [watch(hub, tenant, look_of(ann)) for _ in range(2)]
    assert hub.count() == 2
    data = b'id: 1\nevent: job\ndata: "' + b"x" * 1_000_000 + b'"\n\n'
    audience = hub.audiences[tenant.id]
    slow = next(iter(audience.viewers))
    # Straight into one viewer's buffer, on the loop, as events that nobody reads would come there.
    assert hub._loop
    hub._loop.call_soon_threadsafe(slow.send, data, 0.0)
    hub._loop.call_soon_threadsafe(slow.send, data, 0.0)
    wait_until(lambda: hub.count() == 1)
    left = next(iter(audience.viewers))
    assert left is not slow
    assert sum(is_open(stream) for stream in streams) == 1


def test_a_job_is_read_once_for_all_viewers(
    hub: EventHub, tenant: Tenant, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    real = hub_module.read_jobs

    def counted(*arguments: object) -> list[str]:
        reads.append(1)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(hub_module, "read_jobs", counted)
    first = watch(hub, tenant, look_of(ann))
    # The hub hears from now on.
    first.wait_for("reset")
    streams = [first, *(watch(hub, tenant, look_of(ann)) for _ in range(9))]
    reads.clear()
    job = make_job(tenant)
    told = [stream.wait_for("job", lambda data: data["id"] == str(job)) for stream in streams]
    assert len({event.id for event in told}) == 1
    assert len(reads) <= 2


def test_the_end_of_the_hub_is_the_end_of_its_streams(
    hub: EventHub, tenant: Tenant, ann: Person
) -> None:
    stream = watch(hub, tenant, look_of(ann))
    hub.stop()
    ends(stream)
