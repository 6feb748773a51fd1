"""Columns of JSON are read as Python's own reader reads them, also what the faster reader does not take."""

import json

import pytest
from sqlalchemy import text

from tests.integration.ledger_world import World


@pytest.mark.parametrize(
    "told",
    [
        '{"a": 1, "a": [true, null, "ä", 0.1, -0.0, 1.0]}',
        "18446744073709551615",
        "-9223372036854775808",
        "1e400",
        "1" + "0" * 400,
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        "[" * 400 + "]" * 400,
    ],
    ids=["object", "largest", "least", "infinite", "long", "half a pair", "a pair", "deep"],
)
def test_a_column_of_json_is_read_as_python_reads_it(world: World, told: str) -> None:
    with world.app.connect() as connection:
        read = connection.execute(text("SELECT CAST(:told AS json)"), {"told": told}).scalar_one()
    assert repr(read) == repr(json.loads(told))


def test_a_column_of_json_that_is_empty_is_none(world: World) -> None:
    with world.app.connect() as connection:
        row = connection.execute(text("SELECT CAST(NULL AS jsonb), CAST('null' AS jsonb)")).one()
    assert tuple(row) == (None, None)
