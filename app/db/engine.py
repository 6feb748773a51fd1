"""Engines: one for the application's role, one for the owner's.

Every connection of the application's engine acts as `DATABASE_ROLE`, whatever login the URL names, so row-level
security binds it. Engines are made once a process; after a fork `dispose_after_fork` drops what was inherited.
"""

from functools import lru_cache
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url

from app.settings import get_settings

#: Longest pause between two statements of a transaction. Ours follow one another at once; see `pauses_allowed`.
IDLE_MILLISECONDS = 20_000


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


def make_engine(url: str, *, role: str | None, pool_size: int = 10) -> Engine:
    """Create an engine; `role` is what each connection acts as (None: the login itself)."""
    engine = create_engine(
        normalise_url(url),
        pool_pre_ping=True,
        # An error's text goes to the log; people's addresses and passwords' hashes must not.
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=pool_size,
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
            # A process that was frozen in mid-transaction gives its locks up: others wait for them.
            "options": f"-c timezone=UTC -c idle_in_transaction_session_timeout={IDLE_MILLISECONDS}",
        },
    )
    if role:
        event.listen(engine, "connect", _act_as(role))
    return engine


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
