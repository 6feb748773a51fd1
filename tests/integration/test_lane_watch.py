"""A dedicated worker whose client is moved while it runs says so: once for each change, not each time it looks."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from celery import Celery
from structlog.testing import capture_logs

from app.settings import get_settings
from tasks import lane_watch
from tasks.dispatch_loop import DispatchLoop
from tasks.greeting import greet, watch_lanes
from tasks.lane_usage import LaneUsage
from tasks.lane_watch import LaneWatch
from tasks.presence import Presence
from tasks.worker_mode import DedicatedLane
from tests.conftest import Environment
from tests.integration.client_world import ACME, add_client, give_lane, run, wait_until
from tests.integration.ledger_world import World

OTHER = f"{ACME}-2"
MOVE = "UPDATE worker_configs SET verification_queue = :q"


@pytest.fixture
def person(world: World, environment: Environment) -> UUID:
    """A person of a client with a lane of its own."""
    person = add_client(world, "acme")
    give_lane(world, person, ACME)
    return person


@pytest.fixture
def said() -> Iterator[list[Any]]:
    """What is logged."""
    with capture_logs() as events:
        yield events


@pytest.fixture
def watch(person: UUID, monkeypatch: pytest.MonkeyPatch) -> LaneWatch:
    """The watch of its worker; it looks whenever it is asked to."""
    monkeypatch.setattr(lane_watch, "LOOK_SECONDS", 0.0)
    return LaneWatch([DedicatedLane(person, ACME)])


def told(said: list[Any]) -> list[str]:
    """Return the events about lanes."""
    return [event["event"] for event in said if event["event"].startswith("dedicated_queue")]


def test_each_change_is_told_once(world: World, watch: LaneWatch, said: list[Any]) -> None:
    def look_often() -> list[str]:
        said.clear()
        for _ in range(3):
            watch.look()
        return told(said)

    assert look_often() == []
    run(world, MOVE, q=OTHER)
    assert look_often() == ["dedicated_queue_mismatch"]
    assert look_often() == []
    run(world, MOVE, q=f"{ACME}-3")
    assert look_often() == ["dedicated_queue_mismatch"]
    run(world, "UPDATE worker_configs SET is_active = false")
    assert look_often() == ["dedicated_queue_mismatch"]
    run(world, "UPDATE worker_configs SET is_active = true, verification_queue = :q", q=ACME)
    assert look_often() == ["dedicated_queue_fits"]
    run(world, MOVE, q=OTHER)
    assert look_often() == ["dedicated_queue_mismatch"], "it became so again"


def test_a_client_that_is_gone_is_told_and_ends_nothing(
    world: World, watch: LaneWatch, said: list[Any]
) -> None:
    run(world, "DELETE FROM users")
    watch.look()
    watch.look()
    [event] = said
    assert event["event"] == "dedicated_queue_mismatch"
    assert "neither a user nor a client" in event["detail"]


def test_what_was_told_at_the_start_is_not_told_again(
    world: World, person: UUID, said: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_watch, "LOOK_SECONDS", 0.0)
    monkeypatch.setenv("WORKER_MODE", "dedicated")
    monkeypatch.setenv("DEDICATED_CLIENT_ID", str(person))
    monkeypatch.setenv("VERIFICATION_QUEUE", OTHER)
    get_settings.cache_clear()
    watch = watch_lanes(get_settings())
    greet([OTHER], watch)
    watch.look()
    assert told(said) == ["dedicated_queue_mismatch"]


def test_a_running_worker_tells_it_within_seconds(
    world: World, person: UUID, environment: Environment, said: list[Any]
) -> None:
    """Long before it would have looked by itself: the change is notified."""
    app = Celery("watch", broker=environment["REDIS_URL"], set_as_current=False)
    loop = DispatchLoop(
        app,
        Presence("w", "dedicated", 8, [ACME]),
        running=lambda: 0,
        rows_per_second=lambda: 0.0,
        on_keys_changed=lambda: None,
        usage=LaneUsage(),
        watch=LaneWatch([DedicatedLane(person, ACME)]),
    )
    loop.start()
    try:
        wait_until(lambda: loop._listener, "the loop listens")
        run(world, MOVE, q=OTHER)
        wait_until(lambda: told(said), "the mismatch is told", lane_watch.LOOK_SECONDS / 2)
        run(world, MOVE, q=ACME)
        wait_until(lambda: len(told(said)) > 1, "that it fits is told", lane_watch.LOOK_SECONDS / 2)
    finally:
        loop.stop()
    assert told(said) == ["dedicated_queue_mismatch", "dedicated_queue_fits"]


def test_a_shared_worker_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_watch, "LOOK_SECONDS", 0.0)
    # There is no database here to be asked.
    monkeypatch.setattr(lane_watch, "system_scope", None)
    LaneWatch().look()
