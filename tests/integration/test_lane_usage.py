"""Rows done by lane and client: added up by each worker, kept while the database is away, forgotten after a day."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from app.db.engine import make_engine
from app.db.scope import system_scope
from tasks import lane_usage, maintenance
from tasks.lane_usage import LaneUsage
from tests.conftest import Environment
from tests.integration.client_world import ACME, SHARED, new_id, run
from tests.integration.ledger_world import World

USED = (
    "SELECT queue, tenant_id, sum(rows)::integer AS n FROM lane_usage GROUP BY 1, 2 ORDER BY 1, 2"
)


@pytest.fixture
def acme(world: World) -> UUID:
    return world.add_tenant("acme")


def flush(usage: LaneUsage, world: World) -> None:
    usage.flush(lambda: system_scope(world.app))


def used(world: World) -> dict[tuple[Any, Any], Any]:
    return {(row["queue"], row["tenant_id"]): row["n"] for row in world.rows(USED)}


def test_rows_are_added_up_by_lane_and_client(world: World, acme: UUID) -> None:
    birch = world.add_tenant("birch")
    first, second = LaneUsage(), LaneUsage()
    for usage in (first, second):
        for rows in (50, 0, 7):
            usage.add(SHARED, acme, rows)
        usage.add(ACME, acme, 3)
        usage.add(SHARED, birch, 1)
    for usage in (first, second, first):
        flush(usage, world)
    assert used(world) == {(SHARED, acme): 114, (ACME, acme): 6, (SHARED, birch): 2}


def test_a_client_that_is_gone_takes_nothing_of_the_others_along(world: World, acme: UUID) -> None:
    usage = LaneUsage()
    usage.add(SHARED, new_id(), 5)
    usage.add(SHARED, acme, 5)
    flush(usage, world)
    assert used(world) == {(SHARED, acme): 5}


def test_what_could_not_be_written_is_written_once_when_it_can(world: World, acme: UUID) -> None:
    nowhere = make_engine("postgresql+psycopg2://laneway_app@127.0.0.1:1/laneway", role=None)
    usage = LaneUsage()
    usage.add(SHARED, acme, 5)
    for _ in range(3):
        with pytest.raises(OperationalError):
            usage.flush(lambda: system_scope(nowhere))
        usage.add(SHARED, acme, 1)
    nowhere.dispose()
    flush(usage, world)
    flush(usage, world)
    assert used(world) == {(SHARED, acme): 8}


def test_what_is_counted_while_a_write_fails_is_kept_too(world: World, acme: UUID) -> None:
    usage = LaneUsage()
    usage.add(SHARED, acme, 5)

    @contextmanager
    def breaks() -> Iterator[Connection]:
        with world.app.connect() as connection:
            yield connection
            connection.rollback()
        usage.add(SHARED, acme, 2)
        raise OperationalError("the server went away", None, Exception())

    with pytest.raises(OperationalError):
        usage.flush(breaks)
    flush(usage, world)
    assert used(world) == {(SHARED, acme): 7}


def test_it_does_not_grow_without_bound(
    world: World, acme: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_usage, "MAX_PAIRS", 2)
    usage = LaneUsage()
    for n in range(5):
        usage.add(f"lane-{n}", acme, 1)
    usage.add("lane-0", acme, 1)
    flush(usage, world)
    assert used(world) == {("lane-0", acme): 2, ("lane-1", acme): 1}


def test_operators_see_a_clients_part_of_the_shared_lane(world: World, acme: UUID) -> None:
    birch = world.add_tenant("birch")
    usage = LaneUsage()
    usage.add(SHARED, acme, 30)
    usage.add(SHARED, birch, 10)
    usage.add(ACME, acme, 60)
    flush(usage, world)
    seen = world.rows(
        "SELECT slug, rows_last_hour, shared_rows_last_hour, shared_part FROM clients_overview(15)"
    )
    assert [tuple(row.values()) for row in seen] == [
        ("acme", 90, 30, 0.75),
        ("birch", 10, 10, 0.25),
    ]


def test_what_is_older_than_a_day_is_forgotten(
    world: World, acme: UUID, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hours in (0, 24, 26):
        run(
            world,
            """INSERT INTO lane_usage VALUES (now() - make_interval(hours => :h), :q, :t, :h + 1)""",
            h=hours,
            q=SHARED,
            t=acme,
        )
    monkeypatch.setattr(maintenance, "PERIOD_SECONDS", 3 * 86_400 - 3)
    assert maintenance.housekeeping() == "done"
    assert used(world) == {(SHARED, acme): 26}
