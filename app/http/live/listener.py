"""Hears from PostgreSQL that jobs changed: one connection a web process, for all clients.

A connection that is lost is replaced. Between the two, changes go by unheard; whoever listens is told when hearing begins
and ends, so that nothing is taken for known that is not.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from uuid import UUID

import psycopg2
import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import app_engine

log = structlog.get_logger(__name__)
#: Its notices say "client job"; sent by ledger_roll_up and by the trigger jobs_changed.
CHANNEL = "laneway_job"
AGAIN_SECONDS = 1.0
Notice = tuple[UUID, UUID]


class Listener:
    """Runs on a loop. `in_thread` runs what waits; the others are called on the loop."""

    def __init__(
        self,
        in_thread: Callable[..., Awaitable[Any]],
        on_begin: Callable[[], None],
        on_notices: Callable[[Iterable[Notice]], None],
        on_end: Callable[[], None],
    ) -> None:
        self._in_thread = in_thread
        self._on_begin = on_begin
        self._on_notices = on_notices
        self._on_end = on_end

    async def run(self) -> None:
        """Listen for ever."""
        while True:
            try:
                connection = await self._in_thread(open_connection)
            except (psycopg2.Error, SQLAlchemyError) as error:
                log.warning("events_not_heard", error=type(error).__name__)
            else:
                await self._hear(connection)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _hear(self, connection: Any) -> None:
        """Pass notices on until the connection is lost."""
        loop, lost = asyncio.get_running_loop(), asyncio.Event()

        def on_readable() -> None:
            try:
                notices = take_notices(connection)
            except psycopg2.Error as error:
                log.warning("events_not_heard", error=type(error).__name__)
                lost.set()
                return
            self._on_notices(notices)

        number = connection.fileno()
        loop.add_reader(number, on_readable)
        self._on_begin()
        try:
            await lost.wait()
        finally:
            loop.remove_reader(number)
            self._on_end()
            with contextlib.suppress(psycopg2.Error):
                connection.close()


def open_connection() -> Any:
    """Return a connection of its own, outside the pool, that listens. Raises `psycopg2.Error` or SQLAlchemy's."""
    pooled = app_engine().raw_connection()
    pooled.detach()
    connection: Any = pooled.dbapi_connection
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {CHANNEL}")
    return connection


def take_notices(connection: Any) -> Iterable[tuple[UUID, UUID]]:
    """Return (client, job) of each notice that has come. Raises `psycopg2.Error` when the connection is lost."""
    connection.poll()
    if connection.closed:
        raise psycopg2.InterfaceError("the listening connection is closed")
    notices, connection.notifies = connection.notifies, []
    return [found for notice in notices if (found := _read(notice.payload)) is not None]


def _read(payload: str) -> tuple[UUID, UUID] | None:
    try:
        tenant_id, job_id = payload.split(" ")
        return UUID(tenant_id), UUID(job_id)
    except ValueError:
        log.warning("notice_not_understood", channel=CHANNEL)
        return None
