"""What the demo stands on: PostgreSQL and Redis (embedded, or the caller's own), and its data in them."""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from devtools.demo_options import ROOT, Options, Secrets, base_environment
from devtools.errors import SetupError
from devtools.postgres_server import PostgresServer
from devtools.processes import Process
from devtools.redis_server import RedisServer
from devtools.supervisor import run
from devtools.terminal import Terminal

DATA_SECONDS = 120.0


@dataclass(frozen=True)
class Servers:
    """The addresses of database and Redis; the owner's is for migrations and the command line only."""

    owner_url: str
    database_url: str
    redis_url: str
    check: Callable[[], None]


def start_servers(
    options: Options, secrets: Secrets, stack: ExitStack, terminal: Terminal
) -> Servers:
    """Start PostgreSQL and Redis, unless the caller has servers of their own."""
    embedded: list[PostgresServer | RedisServer] = []
    owner_url = options.database_owner_url or options.database_url or ""
    database_url, redis_url = options.database_url or "", options.redis_url or ""
    if not database_url:
        with terminal.step("PostgreSQL 18, embedded"):
            postgres = stack.enter_context(PostgresServer(options.home))
        embedded.append(postgres)
        owner_url = postgres.owner_url
        server = owner_url.rpartition("@")[2]
        database_url = f"postgresql+psycopg2://laneway_app:{secrets.database_app_password}@{server}"
    if not redis_url:
        with terminal.step("Redis, embedded"):
            redis = stack.enter_context(RedisServer(options.home))
        embedded.append(redis)
        redis_url = redis.url

    def check() -> None:
        for server in embedded:
            if not server.is_running:
                raise SetupError(f"{type(server).__name__} has ended; see {options.home / 'logs'}.")

    return Servers(owner_url, database_url, redis_url, check)


def make_environment(
    options: Options, secrets: Secrets, servers: Servers, sandbox_port: int
) -> dict[str, str]:
    """Return the environment that web, workers, Beat and Flower share."""
    sandbox = f"http://127.0.0.1:{sandbox_port}"
    return base_environment() | {
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "SECRET_KEY": secrets.secret_key,
        "ENCRYPTION_KEYS": secrets.encryption_keys,
        "STORAGE_PATH": str(options.home / "storage"),
        "SESSION_COOKIE_SECURE": "false",
        "MAILTESTER_BASE_URL": sandbox,
        "MAILTESTER_TOKEN_URL": f"{sandbox}/token",
        # A receiver on this very machine can be tried.
        "WEBHOOK_ALLOW_LOOPBACK": "true",
        "APOLLO_BASE_URL": sandbox,
        "HUNTER_BASE_URL": sandbox,
        "CLEARBIT_BASE_URL": sandbox,
        "PUBLIC_URL": f"http://127.0.0.1:{options.port}",
        # The sample's domains are reserved for examples: no resolver knows them.
        "CHECK_MX": "false",
    }


def prepare_data(
    options: Options, secrets: Secrets, servers: Servers, environment: dict[str, str]
) -> str:
    """Migrate and load the demo's clients; return the id that the dedicated worker is started with."""
    owner = environment | {"DATABASE_OWNER_URL": servers.owner_url}
    log = options.home / "logs"
    embedded = {"DATABASE_APP_PASSWORD": secrets.database_app_password}
    migration = [sys.executable, "-m", "app.db.migrate"]
    given = owner | ({} if options.database_url else embedded)
    run(Process("migration", migration, log / "migrate.log", given, ROOT), DATA_SECONDS)
    loading = Process(
        name="loading the demo's clients",
        argv=[sys.executable, "-m", "devtools.demo_tenants"],
        log=log / "tenants.log",
        env=owner,
        cwd=ROOT,
        stdin=json_bytes(dict(secrets.passwords)),
    )
    return run(loading, DATA_SECONDS).splitlines()[-1].strip()


def json_bytes(content: dict[str, str]) -> bytes:
    """Return JSON as bytes for a child's standard input."""
    return json.dumps(content).encode()
