"""A held client, wherever its lane is shown: what it waits for, since and until when, and what ends it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from app.jobs.lanes import MOST_HOLDS
from tasks.queues_command import queues_command
from tests.factories import Tenant, make_lane, make_person, make_tenant, make_worker, owner_sql
from tests.integration.http_world import Web

HOLD = "INSERT INTO lane_holds (tenant_id, kind, until, reason) VALUES (:t, 'verify', :u, :r)"
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).replace(
    hour=0, minute=0, second=0, microsecond=0
)
REMEDY = "Sooner: keys edit ID --daily-limit N, or keys add."


@pytest.fixture
def acme(web: Web) -> Iterator[Tenant]:
    """A client with a lane of its own and a worker on it: all is well but for a hold."""
    tenant = make_tenant()
    queue = f"verification-queue:client-{tenant.slug}"
    make_lane(make_person(tenant), queue)
    make_worker(queue)
    yield tenant
    owner_sql("TRUNCATE tenants, workers CASCADE")


def hold(tenant: Tenant, reason: str = "daily_quota", until: datetime | None = None) -> None:
    # A hold ends a second before the keys are free.
    ends = until or TOMORROW - timedelta(seconds=1)
    owner_sql(HOLD, {"t": tenant.id, "u": ends, "r": reason})


def test_the_api_tells_of_a_hold_beside_the_client_and_its_lane(web: Web, acme: Tenant) -> None:
    operator = web.caller(make_person(role="operator"))
    path = f"/api/clients/{acme.slug}"
    assert operator.get(path).json["client"]["lane"]["hold"] is None
    hold(acme)
    found = operator.get(path).json["client"]["lane"]["hold"]
    assert (found["reason"], datetime.fromisoformat(found["until"])) == ("daily_quota", TOMORROW)
    assert f"goes on at {TOMORROW:%Y-%m-%d} 00:00 UTC" in found["text"]
    assert found["remedy"].endswith(REMEDY)
    [listed] = operator.get("/api/clients").json["clients"]
    assert listed["lane"]["hold"] == found
    lanes = operator.get("/api/lanes").json["lanes"]
    held = [lane for lane in lanes if lane["holds"]]
    assert [(lane["queue"], lane["holds"]) for lane in held] == [
        (f"verification-queue:client-{acme.slug}", [{"slug": acme.slug, "hold": found}])
    ]
    assert datetime.fromisoformat(held[0]["held_until"]) == TOMORROW


@pytest.mark.parametrize("page", ["/clients", "/clients/{slug}", "/lanes"])
def test_each_page_with_a_lane_tells_of_its_hold(web: Web, acme: Tenant, page: str) -> None:
    browser = web.sign_in(make_person(role="operator"))
    path = page.format(slug=acme.slug)
    assert "Held since" not in browser.get(path).text
    hold(acme)
    text = browser.get(path).text
    assert f"day is used up; goes on at {TOMORROW:%Y-%m-%d} 00:00 UTC. Held since" in text
    assert REMEDY in text


def test_a_held_lane_is_not_shown_as_one_that_is_well(web: Web, acme: Tenant) -> None:
    hold(acme, "circuit_open")
    page = web.sign_in(make_person(role="operator")).get("/clients").text
    assert "Own lane, held" in page
    assert "status completed" not in page


def test_the_commands_tell_of_a_hold(web: Web, acme: Tenant) -> None:
    hold(acme, "no_keys")
    cli = web.app.test_cli_runner()
    listed = cli.invoke(args=["clients", "list"]).output
    assert "held since" in listed
    assert "no key may serve it" in listed
    shown = cli.invoke(args=["clients", "show", acme.slug]).output
    assert "look held since" in shown
    assert f"remedy Add one: keys add --tenant {acme.slug}." in shown
    for words in ([], ["--advise"]):
        table = CliRunner().invoke(queues_command, words).output
        assert f"{acme.slug} is held since" in table
        assert f"keys add --tenant {acme.slug}" in table


def test_the_moment_between_two_calls_is_no_hold_to_tell_of(web: Web, acme: Tenant) -> None:
    operator = web.caller(make_person(role="operator"))
    path = f"/api/clients/{acme.slug}"
    hold(acme, "window", datetime.now(UTC) + timedelta(seconds=3))
    assert operator.get(path).json["client"]["lane"]["hold"] is None
    owner_sql("UPDATE lane_holds SET until = until + interval '20 seconds'")
    assert operator.get(path).json["client"]["lane"]["hold"]["reason"] == "window"


def test_of_many_held_clients_the_first_are_told_and_the_others_counted(web: Web) -> None:
    for _ in range(MOST_HOLDS + 5):
        hold(make_tenant(), "no_keys")
    operator = web.caller(make_person(role="operator"))
    [lane] = [lane for lane in operator.get("/api/lanes").json["lanes"] if lane["held_tenants"]]
    assert lane["queue"] == "verification-queue"
    assert (lane["held_tenants"], len(lane["holds"])) == (MOST_HOLDS + 5, MOST_HOLDS)
    assert f"And {MOST_HOLDS + 1} more clients are held." in (
        web.sign_in(make_person(role="operator")).get("/lanes").text
    )
    table = CliRunner().invoke(queues_command, []).output
    assert "verification-queue: 5 more of its clients are held" in table
    owner_sql("TRUNCATE tenants CASCADE")
