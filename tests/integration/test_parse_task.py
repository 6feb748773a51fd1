"""The parse task where its chunk is taken away, its job cancelled, or its list long."""

import io
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.jobs import control
from app.jobs.submit import add_chunk, create_job
from app.settings import get_settings
from app.uploads.ingest import load_list
from app.uploads.storage import LocalStorage
from tasks import runtime as runtime_module
from tasks import uploads
from tests.conftest import Environment
from tests.integration.ledger_world import World

LIST = b"email\n" + b"".join(b"lead%d@example.com\n" % n for n in range(50))
DEADLINE_SECONDS = 20


class Parsing:
    """One uploaded list of acme's, and something that happens while it is read."""

    def __init__(self, world: World, storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.patch = world, monkeypatch
        world.add_tenant("acme")
        tenant = str(world.tenants["acme"])
        self.storage = LocalStorage(storage)
        self.key = self.storage.put(tenant, "l.csv", io.BytesIO(LIST), max_bytes=10_000).key
        with world.scope("acme") as c:
            params = {"storage_key": self.key, "email_column": None}
            self.job = create_job(c, kind="email_validation", title="t", params=params)
            add_chunk(c, self.job, "parse")

    def run(self, meanwhile: Callable[[], object]) -> str:
        real = load_list

        def load(*args: Any, **named: Any) -> Any:
            loaded = real(*args, **named)
            meanwhile()
            return loaded

        self.patch.setattr(uploads, "load_list", load)
        self.patch.setattr(uploads, "dispatch", lambda: 0)
        [message] = self.world.release()
        return uploads.parse_upload(message.chunk_id, message.fence, str(message.tenant_id))

    def left(self) -> list[dict[str, object]]:
        return self.world.rows("""SELECT (SELECT count(*) FROM job_items) AS items,
            (SELECT count(*) FROM chunks WHERE kind = 'verify') AS chunks""")


@pytest.fixture
def parsing(world: World, environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Parsing:
    return Parsing(world, Path(environment["STORAGE_PATH"]), monkeypatch)


def test_a_list_that_is_cancelled_while_it_is_read_leaves_no_rows(parsing: Parsing) -> None:
    def cancel() -> None:
        with parsing.world.scope("acme") as c:
            control.cancel(c, parsing.job)

    assert parsing.run(cancel) == "cancelled"
    assert parsing.left() == [{"items": 0, "chunks": 0}]
    found = parsing.world.job(parsing.job)
    assert (found["status"], found["chunks_open"]) == ("cancelled", 0)
    assert not parsing.storage.exists(parsing.key)


def test_a_list_whose_chunk_went_to_another_worker_is_that_workers(parsing: Parsing) -> None:
    def lose() -> None:
        [chunk] = parsing.world.rows("SELECT id FROM chunks")
        parsing.world.expire(int(str(chunk["id"])))
        parsing.world.recover()

    assert parsing.run(lose) == "lost"
    assert parsing.left() == [{"items": 0, "chunks": 0}]
    assert parsing.storage.exists(parsing.key), "the other worker reads it"
    assert parsing.world.rows("SELECT status FROM chunks") == [{"status": "ready"}]


def test_the_lease_of_a_long_list_is_renewed_while_it_is_read(
    parsing: Parsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEASE_SECONDS", "1.5")
    get_settings.cache_clear()

    def lease_until() -> object:
        return parsing.world.rows("SELECT lease_until FROM chunks")[0]["lease_until"]

    def wait_for_two_renewals() -> None:
        deadline, seen = time.monotonic() + DEADLINE_SECONDS, {lease_until()}
        while len(seen) < 3:
            assert time.monotonic() < deadline
            seen.add(lease_until())

    assert parsing.run(wait_for_two_renewals) == "done"
    assert parsing.left() == [{"items": 50, "chunks": 1}]


def test_a_process_that_must_go_hands_the_list_back_unread(
    parsing: Parsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(uploads.runtime), "seconds_left", 5.0)
    assert parsing.run(lambda: None) == "draining"
    assert parsing.left() == [{"items": 0, "chunks": 0}]
    assert parsing.world.rows("SELECT status, attempts FROM chunks") == [
        {"status": "ready", "attempts": 0}
    ]
    assert parsing.storage.exists(parsing.key)
    monkeypatch.undo()


def test_children_of_a_pool_see_that_their_parent_must_go(environment: Environment) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    told = context.Event()

    def child() -> None:
        told.wait(DEADLINE_SECONDS)
        answers.put(runtime.seconds_left)

    process = context.Process(target=child)
    runtime = uploads.runtime
    before = runtime.drain_by
    process.start()
    try:
        runtime.drain_by = None
        runtime.drain()
        told.set()
        assert 0 < answers.get() <= 30
    finally:
        runtime.drain_by = before
        runtime_module._DRAIN_BY.value = 0.0
        process.join()
