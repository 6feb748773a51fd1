"""The SQL of the page on onboarding runs as it stands, in its order, and does what the page says."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tests.integration.ledger_world import World

TEXT = (Path(__file__).parents[2] / "docs/onboarding.md").read_text()
BLOCKS = re.findall(r"```sql\n(.*?)```", TEXT, flags=re.DOTALL)
STATEMENTS = [part.strip() for block in BLOCKS for part in block.split(";") if part.strip()]
LANE = "SELECT queue FROM tenant_lanes"


@pytest.fixture
def acme(world: World) -> World:
    world.add_tenant("acme")
    world.add_user("acme", "client@example.com")
    world.submit("acme", 40, size=10)
    return world


def test_the_whole_way_in_sql(acme: World) -> None:
    lanes: list[str | None] = []
    with acme.owner.connect() as connection:
        for statement in STATEMENTS:
            # One transaction here, so that an actor that is set for its own stays; nothing is kept.
            if statement not in {"BEGIN", "COMMIT"}:
                connection.exec_driver_sql(statement)
            if "worker_configs" in statement and not statement.startswith("SELECT"):
                lanes.append(lane(connection))
        told = connection.exec_driver_sql(
            "SELECT actor, chunks_moved FROM audit_events ORDER BY id"
        ).all()
        connection.rollback()
    own = "verification-queue:client-acme"
    assert lanes == [own, None, own, None]
    assert ("sql", 4) in [tuple(row) for row in told]


def lane(connection: Connection) -> str | None:
    found: str | None = connection.exec_driver_sql(LANE).scalar_one_or_none()
    return found
