"""One whole installation on free ports, for faults only: its servers may be killed, emptied and restarted.

PostgreSQL runs with fsync and Redis with its append-only file, as in production. Times are short, so that recovery
is seen in seconds; docs/faults.md tells what they are with the defaults.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from devtools import postgres_place
from devtools.postgres_server import PostgresServer
from devtools.redis_server import RedisServer
from sandbox.process import RunningSandbox, run_sandbox
from tests.conftest import Environment, as_application, make_environment, migrate

#: Lease 4 s (30 by default), lost messages after 2 s (5), presence for 6 s (15), chunks of 20 rows (100).
SHORT_TIMES = {
    "LEASE_SECONDS": "4",
    "LOST_MESSAGE_SECONDS": "2",
    "PRESENCE_TIMEOUT_SECONDS": "6",
    "CHUNK_ROWS": "20",
    "CHUNK_MAX_ATTEMPTS": "5",
    "CHUNK_CONCURRENCY": "8",
    "PROVIDER_TIMEOUT_SECONDS": "10",
    "SHUTDOWN_GRACE_SECONDS": "20",
    # A busy test machine delivers calls later than it meant to; windows are judged at arrival, without kindness.
    "LIMIT_WINDOW_MARGIN_MS": "400",
}


class Installation:
    """The servers and the environment that processes of Laneway need to use them."""

    def __init__(self, home: Path, sandbox: RunningSandbox) -> None:
        self.home = home
        self.sandbox = sandbox
        self.postgres = PostgresServer(home)
        self.redis = RedisServer(home)

    @property
    def database_url(self) -> str:
        """The database's address with the application's login."""
        return as_application(self.postgres.owner_url)

    def environment(self, redis_port: int | None = None, **more: str) -> Environment:
        """Return a process's whole environment; `redis_port` puts a proxy in front of Redis."""
        redis_url = self.redis.url
        if redis_port is not None:
            redis_url = redis_url.replace(f":{self.redis.port}/", f":{redis_port}/")
        base = make_environment(
            owner_url=self.postgres.owner_url,
            database_url=self.database_url,
            redis_url=redis_url,
            storage=self.home / "storage",
        )
        return base | SHORT_TIMES | {"MAILTESTER_BASE_URL": self.sandbox.url} | more

    def revive(self) -> None:
        """Bring up whatever a test has left down."""
        if not self.postgres.is_running:
            self.postgres.resume()
        if not self.redis.is_running:
            self.redis.resume()


@contextlib.contextmanager
def run_installation(home: Path) -> Iterator[Installation]:
    """Run a migrated installation for the length of the block and delete its data."""
    with run_sandbox("--prompt") as sandbox:
        installation = Installation(home, sandbox)
        try:
            installation.postgres.start()
            installation.redis.start()
            (home / "storage").mkdir(exist_ok=True)
            migrate(home, installation.postgres.owner_url)
            yield installation
        finally:
            installation.redis.stop()
            installation.postgres.stop()
            postgres_place.remove_place(home)
