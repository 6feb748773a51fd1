"""One real worker process for two clients: each lane is served with its own client's keys, and each is counted."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.clients.check_lane import queue_names, worker_alive
from app.clients.check_workers import live_workers
from app.clients.clients import get_client
from app.crypto import encrypt, fingerprint
from app.db.scope import system_scope
from sandbox.process import RunningSandbox, run_sandbox
from tests.chaos.workers import START_SECONDS, Worker
from tests.conftest import Environment
from tests.integration.client_world import ACME, add_client, give_lane, run, wait_until
from tests.integration.ledger_world import World

BIRCH = "verification-queue:client-birch"
KEYS = {"acme": "key-of-acme-a789", "birch": "key-of-birch-b789"}


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with run_sandbox() as sandbox:
        sandbox.put_keys(*({"key": key} for key in KEYS.values()))
        yield sandbox


@pytest.fixture
def clients(world: World, environment: Environment) -> World:
    """Two clients with lanes; the second one's key is in the database."""
    for slug, queue in (("acme", ACME), ("birch", BIRCH)):
        give_lane(world, add_client(world, slug), queue)
    run(
        world,
        """INSERT INTO api_keys (tenant_id, fingerprint, secret_encrypted, hint, spacing_ms)
           VALUES (:t, :f, :s, 'b789', 10)""",
        t=world.tenants["birch"],
        f=fingerprint("mailtester", KEYS["birch"]),
        s=encrypt(KEYS["birch"]),
    )
    return world


def dedicated(environment: Environment, clients: World, **more: str) -> Environment:
    """Return a worker's environment: both clients by their own ids, keys for the first only."""
    return environment | {
        "WORKER_MODE": "dedicated",
        "DEDICATED_CLIENT_ID": f"{clients.tenants['acme']},{clients.tenants['birch']}",
        "VERIFICATION_QUEUE": f"{ACME},{BIRCH}",
        "MAILTESTER_API_KEYS": f"{KEYS['acme']};",
        "MAILTESTER_KEY_SPACINGS": "10;",
        "MAILTESTER_KEY_DAILY_LIMITS": "1000;",
        "MAILTESTER_KEY_REQUESTS_PER_30S": "1000;",
        **more,
    }


def keys_used(sandbox: RunningSandbox) -> dict[str, Any]:
    calls = sandbox.calls()
    return {key: sum(call["key"] == key for call in calls) for key in KEYS.values()}


def alive(world: World, slug: str) -> str:
    """Say what a check tells of the worker of a client."""
    with system_scope(world.app) as connection:
        client = get_client(connection, slug, 15)
        workers = live_workers(connection, client, 15)
    lines = [queue_names(client, workers), worker_alive(client, workers)]
    assert [line.ok for line in lines] == [True, True]
    return lines[1].detail


def is_done(world: World, job: UUID) -> bool:
    return world.job(job)["status"] == "completed"


def test_each_client_is_served_with_its_own_keys_and_counted(
    clients: World, environment: Environment, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    few, many = clients.submit("acme", 20, size=10), clients.submit("birch", 40, size=10)
    env = dedicated(environment, clients, MAILTESTER_BASE_URL=sandbox.url)
    worker = Worker("both", env, tmp_path / "both.log", lane=("-P", "threads"))
    worker.start()
    try:
        wait_until(
            lambda: is_done(clients, few) and is_done(clients, many),
            "both lists are done",
            START_SECONDS + 60,
        )
        [row] = clients.rows("SELECT mode, client_id, client_ids, queues FROM workers")
        assert (row["mode"], row["client_id"]) == ("dedicated", None)
        assert row["client_ids"] == [clients.tenants["acme"], clients.tenants["birch"]]
        assert set(row["queues"]) == {ACME, BIRCH}  # type: ignore[call-overload]
        assert "with its own keys …a789" in alive(clients, "acme")
        assert "with the keys of the database" in alive(clients, "birch")
        worker.process.send(signal.SIGTERM)
        worker.process.wait(60)
    finally:
        worker.kill()
    assert keys_used(sandbox) == {KEYS["acme"]: 20, KEYS["birch"]: 40}
    used = clients.rows(
        "SELECT queue, sum(rows)::integer AS n FROM lane_usage GROUP BY 1 ORDER BY 1"
    )
    assert used == [{"queue": ACME, "n": 20}, {"queue": BIRCH, "n": 40}]
    said = (tmp_path / "both.log").read_text(encoding="utf-8")
    assert said.count("Starting queue poller for:") == 2
    assert not any(key in said for key in KEYS.values())


def test_what_cannot_be_right_ends_it_with_a_sentence(
    clients: World, environment: Environment, tmp_path: Path
) -> None:
    env = dedicated(environment, clients, VERIFICATION_QUEUE=ACME)
    worker = Worker("wrong", env, tmp_path / "wrong.log", lane=("-P", "threads"))
    worker.start()
    try:
        assert worker.process.wait(START_SECONDS) == 78
    finally:
        worker.kill()
    said = (tmp_path / "wrong.log").read_text(encoding="utf-8")
    assert "VERIFICATION_QUEUE has 1 queue but DEDICATED_CLIENT_ID has 2 clients" in said
