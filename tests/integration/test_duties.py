"""What one worker does for all, and releases that another's makes needless."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.db.scope import system_scope
from app.jobs import release as ledger
from tasks import keeping
from tasks.keeping import Keeper
from tests.conftest import Environment
from tests.integration.client_world import wait_until
from tests.integration.ledger_world import World

SHARED = "verification-queue"
LOCK = "SELECT pg_advisory_xact_lock(7245001)"


@pytest.fixture
def acme(world: World) -> Iterator[World]:
    """A client with a hundred chunks, and slots for them."""
    with world.owner.begin() as c:
        c.execute(text("DELETE FROM duties"))
    world.add_tenant("acme")
    world.attend(SHARED, 8)
    yield world
    with world.owner.begin() as c:
        c.execute(text("DELETE FROM duties"))


def release(world: World, ago: float) -> int:
    with system_scope(world.app) as c:
        return len(
            ledger.release(
                c, limit=100, unattended_window=4, presence_seconds=15, asked_seconds_ago=ago
            )
        )


def claim(world: World, name: str, holder: object, seconds: float = 60) -> bool:
    with system_scope(world.app) as c:
        return ledger.claim_duty(c, name, holder, seconds)  # type: ignore[arg-type]


def test_a_release_since_the_cause_makes_another_needless(acme: World) -> None:
    assert release(acme, 0) == 0
    acme.submit("acme", 10, size=10)
    assert release(acme, 60) == 0, "one began within the last minute"
    assert release(acme, 0) == 1, "none began since just now"


def test_a_release_that_was_rolled_back_has_not_happened(acme: World) -> None:
    acme.submit("acme", 10, size=10)
    with acme.app.connect() as c:
        assert ledger.release(c, limit=100, unattended_window=4, presence_seconds=15)
        c.rollback()
    assert release(acme, 60) == 1


def test_a_clock_that_was_set_back_stops_nothing(acme: World) -> None:
    release(acme, 0)
    with acme.owner.begin() as c:
        c.execute(text("UPDATE duties SET at = at + interval '1 hour'"))
    acme.submit("acme", 10, size=10)
    assert release(acme, 1) == 1


def test_nobody_stands_in_line_behind_one_who_waits(acme: World) -> None:
    """Two are enough: the one at work, which may have begun too early to see, and the next, which sees everything."""
    acme.submit("acme", 10, size=10)
    with acme.owner.connect() as busy, ThreadPoolExecutor(1) as pool:
        busy.execute(text(LOCK))
        waiter = pool.submit(release, acme, 0)
        wait_until(lambda: is_awaited(acme), "A second caller")
        assert release(acme, 0) == 0, "it went away at once"
        assert not waiter.done()
        busy.rollback()
        assert waiter.result(timeout=20) == 1


def is_awaited(world: World) -> bool:
    with world.owner.begin() as c:
        return bool(c.execute(text("SELECT release_is_awaited()")).scalar_one())


def test_who_waited_for_a_release_that_saw_its_cause_does_not_repeat_it(acme: World) -> None:
    acme.submit("acme", 10, size=10)
    with acme.app.connect() as first, ThreadPoolExecutor(1) as pool:
        released = ledger.release(first, limit=100, unattended_window=4, presence_seconds=15)
        waiter = pool.submit(release, acme, 60)
        wait_until(lambda: is_awaited(acme), "A second caller")
        first.commit()
        assert (len(released), waiter.result(timeout=20)) == (1, 0)


def test_a_duty_has_one_holder(acme: World) -> None:
    one, other = uuid4(), uuid4()
    assert claim(acme, "keep", one)
    assert not claim(acme, "keep", other)
    assert claim(acme, "keep", one), "who has it keeps it"
    assert claim(acme, "another", other)


def test_a_silent_holder_is_followed(acme: World) -> None:
    one, other = uuid4(), uuid4()
    assert claim(acme, "keep", one)
    with acme.owner.begin() as c:
        c.execute(text("UPDATE duties SET at = at - interval '5 s'"))
    assert claim(acme, "keep", other, seconds=4)
    assert not claim(acme, "keep", one, seconds=4)


def test_of_many_who_claim_at_once_one_gets_it(acme: World) -> None:
    callers, start = [uuid4() for _ in range(8)], threading.Barrier(8)

    def run(holder: object) -> bool:
        start.wait(20)
        return claim(acme, "keep", holder)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(run, callers)) == 1


def test_a_duty_that_is_laid_down_is_free_but_only_by_its_holder(acme: World) -> None:
    one, other = uuid4(), uuid4()
    claim(acme, "keep", one)
    with system_scope(acme.app) as c:
        ledger.leave_duty(c, "keep", other)
    assert not claim(acme, "keep", other)
    with system_scope(acme.app) as c:
        ledger.leave_duty(c, "keep", one)
    assert claim(acme, "keep", other)


def test_a_holder_from_after_the_clock_was_set_back_is_followed(acme: World) -> None:
    assert claim(acme, "keep", uuid4())
    with acme.owner.begin() as c:
        c.execute(text("UPDATE duties SET at = at + interval '1 hour'"))
    assert claim(acme, "keep", uuid4())


def test_the_next_worker_keeps_the_ledger_when_the_first_stops(
    acme: World, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovery is what shows who does it."""
    acme.submit("acme", 20, size=10)
    keepers = [Keeper(), Keeper()]
    ids = [uuid4(), uuid4()]
    # The server of the tests may have started just now.
    monkeypatch.setattr(keeping.dispatcher, "DATABASE_BACK_SECONDS", 0.0)

    def work(worker: int) -> None:
        # Each look stands for one in another second.
        monkeypatch.setattr(keeping, "RECOVER_SECONDS", 0.0)
        monkeypatch.setattr(keeping, "WORKER_ID", ids[worker])
        keepers[worker].work()

    def running() -> int:
        return len(acme.rows("SELECT 1 FROM chunks WHERE status = 'running'"))

    taken = [acme.take(chunk) for chunk in acme.release()]
    work(0)
    for chunk in acme.rows("SELECT id FROM chunks"):
        acme.expire(int(str(chunk["id"])))
    work(1)
    assert (len(taken), running()) == (2, 2), "the second has nothing to do with it"
    work(0)
    assert running() == 0
    for chunk in acme.release():
        acme.take(chunk)
        acme.expire(chunk.chunk_id)
    monkeypatch.setattr(keeping, "WORKER_ID", ids[0])
    keepers[0].stop()
    work(1)
    assert running() == 0
