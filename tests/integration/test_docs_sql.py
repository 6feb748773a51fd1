"""The SQL of the documents runs as it stands, and does what they say."""

import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.integration.ledger_world import World

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs/operations.md").read_text()
CLIENT = UUID("a1b2c3d4-e5f6-7890-abcd-ef1234567890")
BLOCKS = [
    block
    for path in ("README.md", "docs/operations.md")
    for block in re.findall(r"```sql\n(.*?)```", (ROOT / path).read_text(), flags=re.DOTALL)
]
INLINE = re.findall(r"`((?:SELECT|UPDATE|DELETE) [^`…]+)`", OPERATIONS)


def statements(block: str) -> list[str]:
    lines = [line.partition("--")[0] for line in block.splitlines()]
    return [part.strip() for part in "\n".join(lines).split(";") if part.strip()]


def block_with(words: str) -> list[str]:
    return next(statements(block) for block in BLOCKS if words in block)


@pytest.fixture
def acme(world: World) -> World:
    """The client of the documents' examples, with a backlog."""
    world.add_tenant("acme")
    world.add_user("acme", "client@example.com", CLIENT)
    world.submit("acme", 40, size=10)
    return world


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_block_runs(acme: World, block: str) -> None:
    # A month that is there, and an id where the reader puts one in.
    month = f"{datetime.now(UTC):%Y_%m}"
    block = re.sub(r"(job_\w+_)\d{4}_\d\d", rf"\g<1>{month}", block).replace("…", str(CLIENT))
    with acme.owner.connect() as connection:
        for statement in statements(block):
            if statement not in {"BEGIN", "COMMIT"}:
                connection.exec_driver_sql(statement)
        connection.rollback()


@pytest.mark.parametrize("statement", INLINE)
def test_every_statement_in_a_line_runs(acme: World, statement: str) -> None:
    with acme.owner.connect() as connection:
        connection.exec_driver_sql(statement)
        connection.rollback()


def test_a_hold_by_hand_holds_and_lets_go(acme: World) -> None:
    hold, go_on = block_with("INSERT INTO lane_holds")
    with acme.owner.begin() as connection:
        connection.exec_driver_sql(hold)
    assert acme.release() == []
    with acme.owner.begin() as connection:
        connection.exec_driver_sql(go_on)
    assert acme.release() != []


def test_rows_leave_the_default_partition(acme: World) -> None:
    with acme.owner.connect() as connection:
        job = connection.execute(text("SELECT uuid7_floor('2031-05-02Z')")).scalar_one()
        connection.execute(
            text("""INSERT INTO job_items (job_id, item_no, tenant_id, line_no, email)
                    VALUES (:job, 1, :tenant, 2, 'ann@example.com')"""),
            {"job": job, "tenant": acme.tenants["acme"]},
        )
        for statement in block_with("DETACH PARTITION"):
            if statement not in {"BEGIN", "COMMIT"}:
                connection.exec_driver_sql(statement)
        place = "SELECT tableoid::regclass::text FROM job_items WHERE job_id = :job"
        assert connection.execute(text(place), {"job": job}).scalar_one() == "job_items_2031_05"
        connection.rollback()
