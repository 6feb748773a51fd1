"""What a worker finds out at its start: who its clients are, whether their lanes fit, what it may tell of its keys."""

import json
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from app.db.scope import system_scope
from app.errors import Misconfigured
from app.settings import get_settings
from tasks.greeting import check_clients, greet
from tasks.runtime import runtime
from tasks.worker_mode import dedicated_lanes
from tests.conftest import Environment
from tests.integration.client_world import ACME, add_client, give_lane, new_id, run
from tests.integration.ledger_world import World

BIRCH = "verification-queue:client-birch"


@pytest.fixture
def clients(world: World, environment: Environment) -> World:
    """Two clients with lanes of their own."""
    for slug, queue in (("acme", ACME), ("birch", BIRCH)):
        give_lane(world, add_client(world, slug), queue)
    return world


def person_of(world: World, slug: str) -> str:
    found = world.rows("SELECT id FROM users WHERE tenant_id = :t", t=world.tenants[slug])
    return str(found[0]["id"])


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make this process a dedicated worker."""

    def become(clients: str, queues: str, keys: str = "", numbers: str = "") -> None:
        monkeypatch.setenv("WORKER_MODE", "dedicated")
        monkeypatch.setenv("DEDICATED_CLIENT_ID", clients)
        monkeypatch.setenv("VERIFICATION_QUEUE", queues)
        monkeypatch.setenv("MAILTESTER_API_KEYS", keys)
        for name in ("SPACINGS", "DAILY_LIMITS", "REQUESTS_PER_30S"):
            monkeypatch.setenv(f"MAILTESTER_KEY_{name}", numbers)
        get_settings.cache_clear()

    return become


def test_one_client_is_told_by_the_worker_and_by_its_keys(clients: World, become: Any) -> None:
    person = person_of(clients, "acme")
    become(person, ACME, "secret-key-a789", "100")
    presence = greet([ACME])
    acme = clients.tenants["acme"]
    assert presence.client_id == acme
    assert presence.client_ids == [acme]
    assert [(key["client_id"], key["hint"]) for key in presence.keys] == [(str(acme), "a789")]
    assert runtime.owners[UUID(person)] == acme


def test_of_several_clients_each_key_tells_whose_it_is(
    clients: World, become: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    acme, birch = person_of(clients, "acme"), str(clients.tenants["birch"])
    become(f"{acme},{birch}", f"{ACME},{BIRCH}", "secret-key-a789;secret-key-b789", "100;200")
    presence = greet([ACME, BIRCH])
    assert presence.client_id is None
    with system_scope() as c:
        presence.name, presence.slots = "w", 8
        presence.beat(c, running=0, rows_per_second=0)
    shown = clients.rows("SELECT tenant_slug, hint, source FROM keys_overview()")
    assert [tuple(row.values()) for row in shown] == [
        ("acme", "a789", "environment"),
        ("birch", "b789", "environment"),
    ]
    told = capsys.readouterr().out + json.dumps(clients.rows("SELECT * FROM workers"), default=str)
    assert "secret-key" not in told
    assert told.count("Client ID:") == 2
    [row] = clients.rows("SELECT client_id, client_ids::text[] FROM workers")
    assert row == {"client_id": None, "client_ids": [str(clients.tenants["acme"]), birch]}


def test_only_clients_with_keys_here_have_their_holds_lifted(clients: World, become: Any) -> None:
    for slug in clients.tenants:
        clients.submit(slug, 10)
    run(
        clients,
        """INSERT INTO lane_holds (tenant_id, kind, until, reason)
           SELECT id, 'verify', now() + interval '1 hour', 'daily_quota' FROM tenants""",
    )
    both = f"{person_of(clients, 'acme')},{person_of(clients, 'birch')}"
    become(both, f"{ACME},{BIRCH}", "secret-key-a789;", "100;")
    greet([ACME, BIRCH])
    assert {chunk.tenant_slug for chunk in clients.release()} == {"acme"}


def test_a_client_that_is_not_there_is_refused_whichever_it_is(clients: World, become: Any) -> None:
    nobody = new_id()
    become(f"{person_of(clients, 'acme')},{nobody}", f"{ACME},{BIRCH}")
    with pytest.raises(Misconfigured, match=f"DEDICATED_CLIENT_ID={nobody} is neither a user nor"):
        greet([ACME, BIRCH])


def test_two_people_of_one_client_are_refused(clients: World, become: Any) -> None:
    become(f"{person_of(clients, 'acme')},{clients.tenants['acme']}", f"{ACME},{BIRCH}")
    with pytest.raises(Misconfigured, match="names the client acme twice"):
        greet([ACME, BIRCH])


def test_each_lane_that_does_not_fit_is_a_warning(clients: World, become: Any) -> None:
    run(
        clients, "UPDATE worker_configs SET is_active = false WHERE verification_queue = :q", q=ACME
    )
    both = f"{person_of(clients, 'acme')},{person_of(clients, 'birch')}"
    become(both, f"{ACME},verification-queue:client-other")
    found = check_clients(dedicated_lanes(get_settings()))
    assert [client.tenant_slug for client in found] == ["acme", "birch"]
    with capture_logs() as said:
        assert greet([ACME, "verification-queue:client-other"]).mode == "dedicated"
    none, other = (
        event["detail"] for event in said if event["event"] == "dedicated_queue_mismatch"
    )
    assert "The client acme has no active dedicated row" in none
    assert f"The client birch is routed to {BIRCH}" in other
