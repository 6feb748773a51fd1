"""Engines: one for the application's role, one for the owner's.

Every connection of the application's engine acts as `DATABASE_ROLE`, whatever login the URL names, so row-level
security binds it. Engines are made once a process; after a fork `dispose_after_fork` drops what was inherited.
"""

import json
import time
from functools import lru_cache
from typing import Any

import orjson
import psycopg2
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DisconnectionError

from app.settings import get_settings

#: Longest pause between two statements of a transaction. Ours follow one another at once; see `pauses_allowed`.
IDLE_MILLISECONDS = 20_000
#: A connection that has rested for longer is tried before it is used; asking each time is a fifth of a short transaction.
REST_SECONDS = 1.0


def normalise_url(url: str) -> URL:
    """Return the URL with the psycopg2 driver named.

    Hosts hand out `postgres://` and `postgresql://`; SQLAlchemy 2.1 would load psycopg 3 for the latter.
    """
    if url.startswith("postgres://"):
        url = "postgresql://" + url.removeprefix("postgres://")
    parsed = make_url(url)
    return parsed.set(drivername="postgresql+psycopg2")


def _act_as(role: str) -> Any:
    quoted = '"' + role.replace('"', '""') + '"'

    def on_connect(dbapi_connection: Any, _record: Any) -> None:
        with dbapi_connection.cursor() as cursor:
            cursor.execute("SELECT session_user")
            if cursor.fetchone()[0] != role:
                cursor.execute(f"SET ROLE {quoted}")
        dbapi_connection.commit()

    return on_connect


def _read_json(told: str) -> Any:
    """Read a column of JSON; what only Python's own reader takes is left to it.

    Whole numbers of more than 64 bits come as floats: nothing that is kept as JSON has any.
    """
    try:
        return orjson.loads(told)
    except orjson.JSONDecodeError:
        return json.loads(told)


def make_engine(url: str, *, role: str | None, pool_size: int = 20) -> Engine:
    """Create an engine; `role` is what each connection acts as (None: the login itself).

    `pool_size` connections are kept, once they were needed. What needs more at once opens another each time, which costs both
    sides milliseconds: so it should be as many as the process has threads that use it. There may be a quarter more; of a small
    one twice as many, up to 20 in all: threads that find none left wait for ten seconds and then fail.
    """
    engine = create_engine(
        normalise_url(url),
        # An error's text goes to the log; people's addresses and passwords' hashes must not.
        hide_parameters=True,
        json_deserializer=_read_json,
        pool_size=pool_size,
        max_overflow=max(2, pool_size // 4, min(pool_size, 20 - pool_size)),
        pool_timeout=10,
        connect_args={
            "connect_timeout": 5,
            "application_name": "laneway",
            # A host that vanished must not hang a worker for the kernel's two hours.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            # Nor one that vanished while it owed an answer (milliseconds); keepalives only watch idle connections.
            "tcp_user_timeout": 25_000,
            # A process that was frozen in mid-transaction gives its locks up: others wait for them. And no compiling of
            # statements: where rows are few and plans are wide, as with a release, it takes a hundred times as long.
            "options": f"-c timezone=UTC -c jit=off -c idle_in_transaction_session_timeout={IDLE_MILLISECONDS}",
        },
    )
    if role:
        event.listen(engine, "connect", _act_as(role))
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", _check_rested)
    return engine


def _note_use(_connection: Any, record: Any) -> None:
    record.info["used_at"] = time.monotonic()


def _check_rested(connection: Any, record: Any, _fairy: Any) -> None:
    """Find out whether the server is still there, unless it was a moment ago; raises `DisconnectionError`, and the pool tries again."""
    if time.monotonic() - record.info.get("used_at", float("inf")) <= REST_SECONDS:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.rollback()
    except psycopg2.Error as error:
        raise DisconnectionError("The connection was lost while it rested.") from error


@lru_cache
def app_engine() -> Engine:
    """Return this process's engine as the application's role."""
    settings = get_settings()
    return make_engine(
        settings.database_url, role=settings.database_role, pool_size=settings.database_pool_size
    )


@lru_cache
def owner_engine() -> Engine:
    """Return an engine as the schema's owner: migrations and the installation's command line only."""
    return make_engine(get_settings().owner_url, role=None, pool_size=2)


def dispose_after_fork() -> None:
    """Drop inherited connections without closing them: they belong to the parent."""
    if app_engine.cache_info().currsize:
        app_engine().dispose(close=False)
