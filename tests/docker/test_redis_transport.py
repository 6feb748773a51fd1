"""What Laneway relies on in Celery's Redis transport, seen with a worker in a container of its own."""

from __future__ import annotations

import pytest
from pytest_celery import CeleryTestSetup, RedisTestBroker, ping

pytestmark = pytest.mark.docker

LANE = "verification-queue:client-acme"
SECONDS = 60


@pytest.fixture
def celery_broker(celery_redis_broker: RedisTestBroker) -> RedisTestBroker:
    """Redis alone: the default set has RabbitMQ too, which Laneway does not run on."""
    return celery_redis_broker


@pytest.fixture
def default_worker_celery_worker_queue() -> str:
    """The worker in the container consumes a lane whose name has a colon in it."""
    return LANE


@pytest.fixture
def default_worker_tasks(default_worker_tasks: set[object]) -> set[object]:
    """The worker knows pytest-celery's own `ping`."""
    from pytest_celery.vendors.worker import tasks

    default_worker_tasks.add(tasks)
    return default_worker_tasks


def test_a_lane_with_a_colon_in_its_name_is_consumed(celery_setup: CeleryTestSetup) -> None:
    assert celery_setup.ready()
    assert ping.s().apply_async(queue=LANE).get(timeout=SECONDS) == "pong"
