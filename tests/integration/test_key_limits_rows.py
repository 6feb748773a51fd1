"""What the database lets the limits of a key be, and what becomes of rows from before."""

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.db.engine import make_engine
from app.db.migrate import FOLDER, ensure_role
from app.db.refusals import explain
from devtools.postgres_server import PostgresServer
from tests.conftest import Environment
from tests.integration.client_world import run
from tests.integration.ledger_world import World

INSERT = """INSERT INTO api_keys (fingerprint, secret_encrypted, hint, requests_per_window, window_seconds, extra_windows)
    VALUES (:f, 'x', 'last', :n, :s, CAST(:w AS jsonb))"""


def put(world: World, n: int | None, seconds: int = 30, extra: str = "[]") -> None:
    run(world, INSERT, f="f" * 64, n=n, s=seconds, w=extra)


@pytest.mark.parametrize(
    ("n", "extra", "constraint"),
    [
        (100_001, "[]", "api_keys_window_calls"),
        (None, '[{"requests": 100001, "seconds": 60}]', "api_keys_window_calls"),
        (165, '[{"requests": 100, "seconds": 30}]', "api_keys_window_twice"),
        (165, '[{"requests": 100, "seconds": 30.0}]', "api_keys_window_twice"),
        (
            None,
            '[{"requests": 1, "seconds": 60}, {"requests": 2, "seconds": 60}]',
            "api_keys_window_twice",
        ),
    ],
)
def test_windows_that_no_worker_could_hold_are_refused(
    world: World, n: int | None, extra: str, constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=constraint) as caught:
        put(world, n, extra=extra)
    said = explain(caught.value)
    assert said is not None
    assert "100,000 calls" in said.message or "same length" in said.message


def test_what_is_just_within_is_taken(world: World) -> None:
    put(
        world,
        100_000,
        extra='[{"requests": 100000, "seconds": 60}, {"requests": 1, "seconds": 61}]',
    )
    run(world, "DELETE FROM api_keys")
    # Without a first window its length says nothing.
    put(world, None, extra='[{"requests": 7, "seconds": 30}]')
    run(world, "DELETE FROM api_keys")


def test_rows_from_before_are_brought_within(
    environment: Environment, postgres_server: PostgresServer
) -> None:
    postgres_server.execute("CREATE DATABASE before_0009")
    engine = make_engine(postgres_server.url_of("before_0009"), role=None)
    config = Config()
    config.set_main_option("script_location", str(FOLDER))

    def upgrade(revision: str) -> None:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

    with engine.begin() as c:
        ensure_role(c, "laneway_app", None)
    upgrade("0008")
    rows: list[tuple[int | None, str]] = [
        (1_000_000_000, "[]"),
        (165, '[{"requests": 2000000, "seconds": 86400}, {"requests": 100, "seconds": 30}]'),
        (2_000_000, '[{"requests": 5, "seconds": 1}]'),
        (150_000, "[]"),
        (165, '[{"requests": 1000, "seconds": 3600}]'),
    ]
    with engine.begin() as c:
        for number, (n, extra) in enumerate(rows):
            c.execute(text(INSERT), {"f": f"{number}" * 64, "n": n, "s": 30, "w": extra})
    upgrade("head")
    with engine.begin() as c:
        found = c.execute(
            text("SELECT requests_per_window, extra_windows FROM api_keys ORDER BY fingerprint")
        ).all()
    engine.dispose()
    assert [(row[0], [(w["requests"], w["seconds"]) for w in row[1]]) for row in found] == [
        (None, []),
        (100, [(100_000, 4_320)]),
        (None, [(5, 1), (100_000, 2)]),
        (100_000, []),
        (165, [(1_000, 3_600)]),
    ]
