"""What becomes of a chunk whose wake-up can't be sent, or reaches a worker that is about to go."""

import pytest
from celery import Celery

from tasks import verification
from tasks.dispatcher import publish
from tasks.runtime import runtime
from tests.conftest import Environment
from tests.integration.ledger_world import World

READY = [{"status": "ready", "fence": 1, "attempts": 0}]
CHUNKS = "SELECT status, fence, attempts FROM chunks"


def test_what_cannot_be_published_is_ready_again_at_once(
    world: World, environment: Environment
) -> None:
    world.add_tenant("acme")
    world.submit("acme", 10)
    nowhere = Celery("nowhere", broker="redis://127.0.0.1:1/0", set_as_current=False)
    assert publish(nowhere, world.release()) == 0
    assert world.rows(CHUNKS) == READY


def test_a_worker_that_is_about_to_go_leaves_the_chunk_to_another(
    world: World, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_tenant("acme")
    world.submit("acme", 10)
    [message] = world.release()
    monkeypatch.setattr(runtime, "drain_by", 0.0)
    how = verification.verify_chunk(message.chunk_id, message.fence, str(message.tenant_id))
    assert how == "draining"
    assert world.rows(CHUNKS) == READY
