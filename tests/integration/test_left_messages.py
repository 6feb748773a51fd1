"""Messages on lanes that their clients have left: only what the ledger no longer stands by is taken away."""

import json
from collections.abc import Iterator

import pytest
import redis
from celery import Celery
from kombu import Exchange, Queue

from tasks import dispatch_loop, dispatcher
from tasks.dispatch_loop import DispatchLoop
from tasks.keeping import Keeper
from tasks.lane_usage import LaneUsage
from tasks.left_messages import remove_left_messages
from tasks.lost_messages import name_of
from tasks.presence import Presence
from tasks.routes import router
from tests.conftest import Environment
from tests.integration.client_world import ACME, SHARED, add_client, give_lane, run
from tests.integration.ledger_world import World

#: What others may have put into a queue: no JSON, no message, a message of another system, one of another task.
FOREIGN = [
    "an old poller's job",
    "[1]",
    json.dumps({"job": 7}),
    json.dumps({"headers": {}}),
    json.dumps({"headers": {"id": "e1"}}),
]


@pytest.fixture
def app(environment: Environment) -> Celery:
    """An application that sends as the product's does."""
    app = Celery("left", broker=environment["REDIS_URL"], set_as_current=False)
    app.conf.update(
        task_routes=(router,),
        task_queues=[Queue(name, Exchange(""), routing_key=name) for name in (SHARED, ACME)],
        task_create_missing_queues=True,
    )
    return app


@pytest.fixture
def broker(world: World, app: Celery) -> Iterator["redis.Redis"]:
    """A client with a list of four chunks on its own lane, released there and sent, and the broker."""
    person = add_client(world, "acme")
    give_lane(world, person, ACME)
    world.submit("acme", 40, size=10)
    client = dispatcher.broker_client()
    client.delete(SHARED, ACME)
    assert dispatcher.publish(app, world.release()) == 4
    yield client
    client.delete(SHARED, ACME)


def leave(world: World) -> None:
    run(world, "UPDATE worker_configs SET is_active = false")


def names(client: "redis.Redis", queue: str) -> list[str | None]:
    return [name_of(message) for message in client.lrange(queue, 0, -1)]


def test_what_was_left_goes_and_what_is_foreign_stays(world: World, broker: "redis.Redis") -> None:
    broker.lpush(ACME, *FOREIGN)
    leave(world)
    assert remove_left_messages(broker) == 4
    assert sorted(broker.lrange(ACME, 0, -1)) == sorted(FOREIGN)


def test_old_wake_ups_are_void_once_the_lane_was_left(
    world: World, app: Celery, broker: "redis.Redis"
) -> None:
    """Whoever still serves the old lane must not take what goes to the new one."""
    old = names(broker, ACME)
    leave(world)
    assert dispatcher.publish(app, world.release()) == 4
    new = names(broker, SHARED)
    assert (len(old), len(new)) == (4, 4)
    assert set(old).isdisjoint(new)


def test_live_wake_ups_stay_on_a_lane_that_was_left_and_taken_again(
    world: World, app: Celery, broker: "redis.Redis"
) -> None:
    leave(world)
    run(world, "UPDATE worker_configs SET is_active = true")
    assert dispatcher.publish(app, world.release()) == 4
    assert broker.llen(ACME) == 8
    live = {
        f"chunk-{row['id']}-{row['fence']}" for row in world.rows("SELECT id, fence FROM chunks")
    }
    assert remove_left_messages(broker) == 4
    assert set(names(broker, ACME)) == live


def test_what_was_left_while_many_others_moved_goes_too(
    world: World, broker: "redis.Redis"
) -> None:
    """As in a bulk of onboardings, or while Redis was away."""
    leave(world)
    run(
        world,
        """INSERT INTO audit_events (actor, action, from_queue, to_queue)
           SELECT 'op', 'lane.changed', 'verification-queue', 'verification-queue:client-' || n
           FROM generate_series(1, 600) AS n""",
    )
    run(world, "UPDATE audit_events SET at = at - interval '9 minutes'")
    assert remove_left_messages(broker) == 4


def test_a_failing_housekeeping_keeps_no_work_back(
    world: World, app: Celery, broker: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(world)

    def fail(_keeper: Keeper) -> None:
        raise KeyError("headers")

    monkeypatch.setattr(dispatch_loop.Keeper, "work", fail)
    loop = DispatchLoop(
        app,
        Presence("w", "shared", 8, [SHARED]),
        running=lambda: 0,
        rows_per_second=lambda: 0.0,
        on_keys_changed=lambda: None,
        usage=LaneUsage(),
    )
    with pytest.raises(KeyError):
        loop._round()
    assert broker.llen(SHARED) == 4
