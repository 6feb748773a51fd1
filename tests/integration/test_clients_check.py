"""The check of a lane, with a real worker, the sandbox, and everything that can be wrong."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.clients import key_test
from app.clients.actor import acting_as
from app.clients.check import CheckLine, check
from app.clients.check_lane import queue_names, worker_alive
from app.clients.check_workers import live_workers
from app.clients.clients import enable, get_client, rollback
from app.clients.keys import NewKey, add_key, edit_key, key_facts, keys_of
from app.clients.onboarding import Onboarding, onboard
from app.clients.worker_files import worker_files
from app.db.engine import owner_engine
from app.db.scope import system_scope
from app.settings import get_settings
from devtools.supervisor import Supervisor
from routing.rate_limits.limiter import Limiter
from routing.rate_limits.limits import LimitPolicy
from sandbox.process import RunningSandbox, run_sandbox
from tests.chaos.workers import START_SECONDS, Worker
from tests.conftest import Environment
from tests.factories import Person, make_person, make_tenant, make_worker, owner_sql

STANDARD = "mt_standard_key_0001"
QUEUE = "verification-queue:client-acme"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with run_sandbox() as running:
        running.put_keys({"key": STANDARD, "spacing_ms": 250, "windows": [[165, 30_000]]})
        yield running


@pytest.fixture(scope="module")
def installation(sandbox: RunningSandbox, module_environment: Environment) -> Iterator[Environment]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAILTESTER_BASE_URL", sandbox.url)
        get_settings.cache_clear()
        yield module_environment | {"MAILTESTER_BASE_URL": sandbox.url}
        get_settings.cache_clear()


@pytest.fixture(scope="module")
def limiter(installation: Environment) -> Iterator[Limiter]:
    settings = get_settings()
    limiter = Limiter.connect(settings.limits_url, LimitPolicy.from_settings(settings))
    yield limiter
    limiter.close()


@pytest.fixture(scope="module")
def acme(installation: Environment) -> Person:
    """A client that was onboarded, as its operator would have it."""
    person = make_person(make_tenant("acme"), email="client@example.com")
    with system_scope() as connection:
        acting_as(connection, "op@example.com")
        onboard(connection, Onboarding(person.email, QUEUE, [NewKey(SecretStr(STANDARD))]))
    return person


@pytest.fixture(scope="module")
def worker(
    installation: Environment, acme: Person, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """The client's own worker, with the environment that is printed for it."""
    with system_scope() as connection:
        text = worker_files(get_client(connection, "acme", 15), keys_in_environment=False)["env"]
    lines = [line.partition("=") for line in text.splitlines() if not line.startswith("#")]
    printed = {name: value for name, _, value in lines if not value.startswith("<")}
    log: Path = tmp_path_factory.mktemp("worker") / "acme.log"
    lane = ("-P", "threads")
    worker = Worker("acme", installation | printed, log, lane=lane, slots=4)
    with Supervisor() as supervisor:
        supervisor.start(worker.process)
        worker.process.wait_until(partial(_is_ready, worker), START_SECONDS)
        yield worker


def _is_ready(worker: Worker) -> bool:
    return bool(owner_sql("SELECT count(*) FROM workers WHERE mode = 'dedicated'"))


def look(
    limiter: Limiter, *, seconds: float = 20.0, address: str | None = None, slug: str = "acme"
) -> dict[str, CheckLine]:
    with owner_engine().begin() as connection:
        client = get_client(connection, slug, 15)
    lines = check(
        owner_engine().begin,
        client,
        limiter=limiter,
        settings=get_settings(),
        seconds=seconds,
        address=address,
    )
    return {line.name: line for line in lines}


def failed(lines: dict[str, CheckLine]) -> set[str]:
    assert all(line.remedy for line in lines.values() if not line.ok)
    return {name for name, line in lines.items() if not line.ok}


def test_without_a_worker_it_says_what_to_start(acme: Person, limiter: Limiter) -> None:
    lines = look(limiter)
    assert failed(lines) == {"Queue names agree", "Worker alive", "Address through the lane"}
    assert "clients worker acme" in str(lines["Worker alive"].remedy)
    assert owner_sql("SELECT count(*) FROM jobs") == 0


def test_a_lane_that_works(
    acme: Person, worker: Worker, limiter: Limiter, sandbox: RunningSandbox
) -> None:
    lines = look(limiter, address="ok-ann@example.com")
    assert failed(lines) == set()
    assert list(lines) == [
        "Routing row",
        "Lane in force",
        "Queue names agree",
        "Worker alive",
        "Key …0001",
        "Address through the lane",
        "No 429 since",
    ]
    assert "ok-ann@example.com is valid" in lines["Address through the lane"].detail
    assert STANDARD not in repr(lines)
    assert {call["status"] for call in sandbox.calls()} == {200}
    assert owner_sql("SELECT status FROM jobs ORDER BY id DESC LIMIT 1") == "completed"


def test_no_limit_is_broken_however_often(
    acme: Person, worker: Worker, limiter: Limiter, sandbox: RunningSandbox
) -> None:
    sandbox.reset()
    for n in range(3):
        assert failed(look(limiter, address=f"ok-{n}@example.com")) == set()
    assert [call["status"] for call in sandbox.calls()] == [200] * 6


def test_a_key_that_is_refused(
    acme: Person, worker: Worker, limiter: Limiter, sandbox: RunningSandbox
) -> None:
    with system_scope() as connection:
        wrong = add_key(connection, acme.tenant.id, NewKey(SecretStr("mt_nobody_knows_0002")))  # type: ignore[union-attr]
    try:
        lines = look(limiter, address="ok-b@example.com")
        # It rests now: another test says so and makes no call.
        before = len(sandbox.calls())
        tried = key_test.test_key(system_scope, wrong, limiter=limiter, settings=get_settings())
    finally:
        with system_scope() as connection:
            edit_key(connection, wrong, is_enabled=False)
    assert (tried.ok, tried.ms, "keys reset" in tried.detail) == (False, None, True)
    assert len(sandbox.calls()) == before
    assert failed(lines) == {"Key …0002"}
    assert f"keys remove {wrong}" in str(lines["Key …0002"].remedy)
    with system_scope() as connection:
        fingerprint = key_facts(connection, wrong).fingerprint
    assert limiter.describe([fingerprint])[fingerprint].state == "open"


def test_a_429_is_found(acme: Person, worker: Worker, limiter: Limiter) -> None:
    lines = look(limiter, address="throttled1-c@example.com")
    assert "No 429 since" in failed(lines)
    assert "…0001" in lines["No 429 since"].detail


def test_an_answer_that_does_not_come_is_not_waited_for(
    acme: Person, worker: Worker, limiter: Limiter
) -> None:
    lines = look(limiter, seconds=2.0, address="error500-d@example.com")
    assert "Address through the lane" in failed(lines)
    assert "within 2 s" in lines["Address through the lane"].detail
    assert owner_sql("SELECT status FROM jobs ORDER BY id DESC LIMIT 1") == "cancelled"


def test_a_client_without_a_lane_is_told_so_and_nothing_else(
    limiter: Limiter, acme: Person
) -> None:
    make_person(make_tenant("plain"), email="plain@example.com")
    lines = look(limiter, slug="plain", seconds=1)
    for name in ("Queue names agree", "Worker alive", "Address through the lane"):
        assert not lines[name].ok
        assert "None" not in f"{lines[name].detail} {lines[name].remedy}"
    assert "clients onboard" in lines["Worker alive"].remedy


def test_a_key_that_rests_is_to_be_reset_not_replaced(limiter: Limiter, acme: Person) -> None:
    with system_scope() as connection:
        [key] = [key for key in keys_of(connection, acme.tenant.id) if key.hint == "0001"]  # type: ignore[union-attr]
    assert key.id
    fingerprint = key.fingerprint
    # A key that was never used is not known to the limiter.
    key_test.test_key(system_scope, key.id, limiter=limiter, settings=get_settings())
    limiter.unauthorized(fingerprint, "refused")
    try:
        line = look(limiter, seconds=1)["Key …0001"]
    finally:
        limiter.reset(fingerprint)
    assert not line.ok
    assert "keys reset" in line.remedy


def test_rolled_back(acme: Person, worker: Worker, limiter: Limiter) -> None:
    assert acme.tenant
    with system_scope() as connection:
        rollback(connection, acme.tenant.id)
    lines = look(limiter)
    with system_scope() as connection:
        enable(connection, acme.tenant.id)
    assert failed(lines) >= {"Routing row", "Lane in force", "Address through the lane"}
    assert lines["Routing row"].remedy == "Put it back: clients enable acme"


def test_fallen_back(acme: Person, worker: Worker, limiter: Limiter) -> None:
    assert acme.tenant
    row = {"id": acme.tenant.id, "queue": QUEUE}
    owner_sql("UPDATE tenants SET fallback_after_seconds = 30 WHERE id = :id", row)
    elsewhere = "verification-queue:client-gone"
    owner_sql(
        "UPDATE worker_configs SET verification_queue = :queue WHERE user_id = :user",
        {"queue": elsewhere, "user": acme.id},
    )
    # No worker serves that lane, so the fall-back stays for as long as the test looks.
    owner_sql(
        "INSERT INTO lane_fallbacks (tenant_id, queue) VALUES (:id, :queue)",
        row | {"queue": elsewhere},
    )
    owner_sql("SELECT reroute_tenant(:id)", row)
    lines = look(limiter)
    owner_sql(
        "UPDATE worker_configs SET verification_queue = :queue WHERE user_id = :user",
        row | {"user": acme.id},
    )
    assert "Lane in force" in failed(lines)
    assert "its own had no worker" in lines["Lane in force"].detail
    assert failed(look(limiter, address="ok-g@example.com")) == set()


def test_a_worker_that_takes_the_lane_by_its_command_line(acme: Person, limiter: Limiter) -> None:
    named = "UPDATE workers SET client_id = :c, client_ids = array_remove(ARRAY[CAST(:c AS uuid)], NULL) WHERE mode = 'dedicated'"
    owner_sql(named, {"c": None})
    helper = make_worker(QUEUE)
    try:
        with owner_engine().begin() as connection:
            client = get_client(connection, "acme", 15)
            workers = live_workers(connection, client, 15)
    finally:
        owner_sql("DELETE FROM workers WHERE id = :id", {"id": helper})
        owner_sql(named, {"c": acme.id})
    assert queue_names(client, workers).ok
    assert worker_alive(client, workers).ok


def test_a_worker_with_another_queue_or_client(
    acme: Person, worker: Worker, limiter: Limiter
) -> None:
    other = make_person(make_tenant("other"))
    wrong_queue, stranger = make_worker("verification-queue:client-acne"), make_worker(QUEUE)
    mode = "UPDATE workers SET mode = 'dedicated', client_id = :client WHERE id = :id"
    owner_sql(mode, {"client": acme.id, "id": wrong_queue})
    owner_sql(mode, {"client": other.id, "id": stranger})
    lines = look(limiter, address="ok-e@example.com")
    owner_sql("DELETE FROM workers WHERE id IN (:a, :b)", {"a": wrong_queue, "b": stranger})
    assert {"Queue names agree", "Worker alive"} <= failed(lines)
    assert f"VERIFICATION_QUEUE={QUEUE}" in str(lines["Queue names agree"].remedy)
    assert acme.tenant
    assert f"DEDICATED_CLIENT_ID={acme.tenant.id}" in str(lines["Worker alive"].remedy)


@pytest.mark.parametrize(
    ("address", "ok", "said"),
    [
        ("ok-x@example.com", True, "valid"),
        ("ko-x@example.com", True, "invalid"),
        ("garbage-x@example.com", False, "not the JSON"),
        ("error500-x@example.com", False, "HTTP 500"),
    ],
)
def test_one_key(acme: Person, limiter: Limiter, address: str, ok: bool, said: str) -> None:
    key_id = owner_sql("SELECT id FROM api_keys WHERE hint = '0001'")
    with owner_engine().begin() as connection:
        fingerprint = key_facts(connection, key_id).fingerprint
    limiter.reset(fingerprint)
    tried = key_test.test_key(
        owner_engine().begin, key_id, limiter=limiter, settings=get_settings(), address=address
    )
    assert (tried.ok, said in tried.detail) == (ok, True)
    assert tried.ms is not None


def test_a_provider_that_is_away(
    acme: Person, limiter: Limiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    from devtools.ports import find_free_port

    key_id = owner_sql("SELECT id FROM api_keys WHERE hint = '0001'")
    away = get_settings().model_copy(
        update={"mailtester_base_url": f"http://127.0.0.1:{find_free_port()}"}
    )
    tried = key_test.test_key(system_scope, key_id, limiter=limiter, settings=away)
    assert (tried.ok, "can't be reached" in tried.detail) == (False, True)


def test_silent_limits_are_said(acme: Person, worker: Worker) -> None:
    from devtools.ports import find_free_port

    away = Limiter.connect(f"redis://127.0.0.1:{find_free_port()}/0")
    try:
        lines = look(away, address="ok-f@example.com")
    finally:
        away.close()
    assert {"Key …0001", "No 429 since"} <= failed(lines)
    assert "RATE_LIMIT_REDIS_URL" in str(lines["No 429 since"].remedy)
