"""Transactions, with or without a tenant.

`tenant_scope` is the only way to a tenant's rows. The scope is set for one transaction and is gone with it, so a
pooled connection never carries a tenant to the next user. Leaving the block commits; an exception rolls back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from app.db.engine import app_engine

_ALLOW_PAUSES = text("SELECT set_config('idle_in_transaction_session_timeout', :pause, true)")
#: In the driver's own words: it begins nearly every transaction, and SQLAlchemy's part would be the larger one.
_SET_TENANT = "SELECT set_config('laneway.tenant_id', %s, true)"


@contextmanager
def tenant_scope(tenant_id: UUID | str, engine: Engine | None = None) -> Iterator[Connection]:
    """Open a transaction that sees the rows of one tenant."""
    with (engine or app_engine()).begin() as connection:
        connection.exec_driver_sql(_SET_TENANT, (str(tenant_id),))
        yield connection


@contextmanager
def system_scope(engine: Engine | None = None) -> Iterator[Connection]:
    """Open a transaction without a tenant: presence, ticks and the functions that cross tenants."""
    with (engine or app_engine()).begin() as connection:
        yield connection


@contextmanager
def statement_cursor(engine: Engine | None = None) -> Iterator[Any]:
    """Give the driver's cursor, for statements that are transactions of their own and set their own tenant.

    For what is said all the time: with SQLAlchemy's part it takes twice as long. What is raised is the driver's
    (`psycopg2.Error`), and the connection is then not used again.
    """
    pooled = (engine or app_engine()).raw_connection()
    driver: Any = pooled.dbapi_connection
    try:
        driver.autocommit = True
        with driver.cursor() as cursor:
            yield cursor
        driver.autocommit = False
    except BaseException as error:
        pooled.invalidate(error)
        raise
    finally:
        pooled.close()


@contextmanager
def pauses_allowed(connection: Connection, minutes: int = 30) -> Iterator[None]:
    """Let this transaction rest between statements, as when a file is read; not to be used while others wait for its locks."""
    before = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one()
    connection.execute(_ALLOW_PAUSES, {"pause": f"{minutes}min"})
    yield
    connection.execute(_ALLOW_PAUSES, {"pause": before})
