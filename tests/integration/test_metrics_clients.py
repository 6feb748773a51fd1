"""`/metrics` of webhooks and of clients on hold: counted over all clients, by outcome, state and reason."""

from uuid import UUID

import pytest

from app.db.scope import tenant_scope
from app.webhooks import endpoints, log
from tests.factories import Tenant, make_job, make_tenant, owner_sql
from tests.integration.http_world import Web
from tests.integration.webhook_world import (
    Receiver,
    Reply,
    add,
    deliver,
    deliveries,
    end_job,
    make_due,
    spread,
)

pytestmark = pytest.mark.usefixtures("webhooks_only")
HOLD = """INSERT INTO lane_holds (tenant_id, kind, until, reason)
    VALUES (:t, :k, clock_timestamp() + interval '1 hour', :r)"""


def figures(web: Web, name: str) -> dict[str, float]:
    """A metric's figures by its one label; those that are 0 are left out."""
    found = {}
    for line in web.caller().get("/metrics").text.splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name and float(value):
            found[series.partition('"')[2].rpartition('"')[0]] = float(value)
    return found


def ended(web: Web) -> dict[str, float]:
    return figures(web, "laneway_webhook_deliveries_last_hour")


def is_open(web: Web) -> dict[str, float]:
    return figures(web, "laneway_webhook_deliveries_open")


def states(web: Web) -> dict[str, float]:
    return figures(web, "laneway_webhook_endpoints")


def end_one(tenant: Tenant) -> UUID:
    job = make_job(tenant)
    end_job(job)
    return job


def test_deliveries_are_counted_by_what_they_came_to(
    web: Web, tenant: Tenant, receiver: Receiver
) -> None:
    add(tenant, receiver.url)
    other = make_tenant()
    add(other, receiver.url)
    end_one(tenant)
    end_one(other)
    assert is_open(web) == {"pending": 2}, "what has not been spread waits, too"
    spread()
    assert is_open(web) == {"pending": 2}
    assert figures(web, "laneway_webhook_oldest_seconds")[""] > 0
    deliver()
    assert (ended(web), is_open(web)) == ({"delivered": 2}, {})
    assert figures(web, "laneway_webhook_oldest_seconds") == {}
    assert states(web) == {"working": 2}
    owner_sql("UPDATE webhook_deliveries SET ended_at = ended_at - interval '61 minutes'")
    assert ended(web) == {}


def test_one_that_fails_is_tried_again_given_up_and_sent_once_more(
    web: Web, tenant: Tenant, receiver: Receiver
) -> None:
    endpoint, _ = add(tenant, receiver.url)
    receiver.answer = lambda _: Reply(500)
    end_one(tenant)
    deliver()
    assert (ended(web), is_open(web)) == ({}, {"retrying": 1})
    assert states(web) == {"failing": 1}
    for _ in range(9):
        make_due()
        deliver()
    assert (ended(web), is_open(web)) == ({"failed": 1}, {})
    [delivery] = deliveries(endpoint)
    owner_sql("UPDATE webhook_deliveries SET created_at = created_at - interval '1 day'")
    with tenant_scope(tenant.id) as connection:
        log.replay(connection, delivery["id"])
    assert (ended(web), is_open(web)) == ({}, {"pending": 1})
    assert figures(web, "laneway_webhook_oldest_seconds") == {}, "a replay is no backlog"


def test_endpoints_that_are_off_are_counted_by_why(
    web: Web, tenant: Tenant, receiver: Receiver
) -> None:
    endpoint, _ = add(tenant, receiver.url)
    end_one(tenant)
    spread()
    with tenant_scope(tenant.id) as connection:
        endpoints.disable_endpoint(connection, endpoint)
    assert (ended(web), is_open(web)) == ({"cancelled": 1}, {})
    assert states(web) == {"disabled_by_person": 1}
    for reason in ("gone", "failing"):
        owner_sql("UPDATE webhook_endpoints SET disabled_reason = :r", {"r": reason})
        assert states(web) == {f"disabled_{reason}": 1}
    with tenant_scope(tenant.id) as connection:
        endpoints.remove_endpoint(connection, endpoint)
    assert states(web) == {}


def test_held_clients_are_counted_once_by_reason(web: Web, tenant: Tenant) -> None:
    assert figures(web, "laneway_clients_held") == {}
    assert 'laneway_clients_held{reason="no_keys"} 0.0' in web.caller().get("/metrics").text
    other, third = make_tenant(), make_tenant()
    for whose, kind, reason in (
        (tenant, "verify", "no_keys"),
        (other, "verify", "no_keys"),
        (third, "verify", "daily_quota"),
        (third, "enrich", "daily_quota"),
    ):
        owner_sql(HOLD, {"t": whose.id, "k": kind, "r": reason})
    assert figures(web, "laneway_clients_held") == {"no_keys": 2, "daily_quota": 1}
    owner_sql("UPDATE lane_holds SET until = clock_timestamp() WHERE reason = 'no_keys'")
    assert figures(web, "laneway_clients_held") == {"daily_quota": 1}
