"""Webhooks lock in one order: the chunk, the endpoint, its deliveries. Who waits for an endpoint holds none of its deliveries."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app.db.engine import owner_engine
from app.db.scope import tenant_scope
from app.errors import Conflict
from app.jobs import lease as ledger
from app.webhooks import log
from app.webhooks.endpoints import add_endpoint
from app.webhooks.scope import delivery_scope
from tests.factories import Tenant, make_job, owner_sql
from tests.integration.webhook_world import (
    Receiver,
    add,
    deliver,
    deliveries,
    end_job,
    release,
    spread,
)

pytestmark = pytest.mark.usefixtures("webhooks_only")
T = TypeVar("T")
HOLD = text("SELECT 1 FROM webhook_endpoints WHERE id = :e FOR NO KEY UPDATE")
ARE_FREE = text("SELECT id FROM webhook_deliveries WHERE endpoint_id = :e FOR UPDATE NOWAIT")
END = text("SELECT webhook_end(:chunk, :fence, :e, false)")
WAITING = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def until_it_waits(is_over: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not owner_sql(WAITING):
        assert not is_over(), "it did not wait"
        assert time.monotonic() < until
        time.sleep(0.02)


def while_the_endpoint_is_held(endpoint: UUID, act: Callable[[], T]) -> T:
    """Return what an act comes to that waited for the endpoint, with its deliveries free meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        with owner_engine().begin() as c:
            c.execute(HOLD, {"e": endpoint})
            acting = pool.submit(act)
            until_it_waits(acting.done)
            assert c.execute(ARE_FREE, {"e": endpoint}).all()
        return acting.result(30)


def test_a_replay_waits_for_the_endpoint_before_it_takes_the_delivery(
    receiver: Receiver, tenant: Tenant
) -> None:
    endpoint, _ = add(tenant, receiver.url)
    end_job(make_job(tenant, 1))
    assert deliver() == ["done"]
    (sent,) = deliveries(endpoint)

    def replay() -> str:
        with tenant_scope(tenant.id) as c:
            return log.replay(c, sent["id"]).status

    assert while_the_endpoint_is_held(endpoint, replay) == "pending"


def test_the_end_of_a_run_waits_for_the_endpoint_before_it_cancels_deliveries(
    receiver: Receiver, tenant: Tenant
) -> None:
    endpoint, _ = add(tenant, receiver.url)
    end_job(make_job(tenant, 1))
    spread()
    (chunk,) = release()
    with delivery_scope(tenant.id) as c:
        lease = ledger.take(c, chunk.chunk_id, chunk.fence, worker=uuid4(), seconds=60)
    assert lease is not None
    owner_sql("UPDATE webhook_endpoints SET is_enabled = false WHERE id = :e", {"e": endpoint})

    def end() -> str:
        with delivery_scope(tenant.id) as c:
            values = {"chunk": lease.chunk_id, "fence": lease.fence, "e": endpoint}
            return str(c.execute(END, values).scalar_one())

    assert while_the_endpoint_is_held(endpoint, end) == "done"
    assert [delivery["status"] for delivery in deliveries(endpoint)] == ["cancelled"]


def test_an_address_that_another_is_adding_is_waited_for_and_refused(tenant: Tenant) -> None:
    def second() -> None:
        with tenant_scope(tenant.id) as c:
            add_endpoint(c, url="https://hooks.example.com/x", events=["job.failed"])

    with ThreadPoolExecutor(1) as pool:
        with tenant_scope(tenant.id) as c:
            add_endpoint(c, url="https://hooks.example.com/x", events=["job.failed"])
            adding = pool.submit(second)
            until_it_waits(adding.done)
        with pytest.raises(Conflict):
            adding.result(30)
