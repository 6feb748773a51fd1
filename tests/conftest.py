"""The servers that tests stand on: one throw-away PostgreSQL and one Redis a session, started on demand.

Every module gets a database of its own (a copy of one that was migrated once), every test a Redis
database of its own. Free ports, temporary folders; nothing is left running however pytest ends.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import count
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from app.settings import Settings
from devtools.postgres_server import DATABASE, PostgresServer
from devtools.processes import Process
from devtools.redis_server import DATABASES, RedisServer
from devtools.supervisor import run

ROOT = Path(__file__).parents[1]
APP_PASSWORD = "only-for-tests"
SECRET_KEY = "only-for-tests-and-long-enough-to-be-accepted"
ENCRYPTION_KEY = Fernet.generate_key().decode()

Environment = dict[str, str]


def pytest_configure(config: pytest.Config) -> None:
    """Let SIGTERM end the session as Ctrl-C does: with every fixture taken down."""
    if config.option.collectonly:
        return

    def leave(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)


@lru_cache
def find_engine_problem() -> str | None:
    """Say why no container can be started here; None when a Docker engine answers."""
    if shutil.which("docker") is None:
        return "no docker command on the PATH"
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return "the Docker engine does not answer within 10 s"
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or ["the Docker engine does not answer"])[-1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs containers where no engine answers, and say what was found."""
    marked = [item for item in items if item.get_closest_marker("docker")]
    if marked and (problem := find_engine_problem()):
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"needs a Docker engine: {problem}"))


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    """A temporary folder for servers. pytest's own is closed to the account that runs PostgreSQL."""
    home = Path(tempfile.mkdtemp(prefix="laneway-tests-"))
    home.chmod(0o711)
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_server(server_home: Path) -> Iterator[RedisServer]:
    """The session's Redis. Don't stop or kill it: faults take a `RedisServer` of their own."""
    with RedisServer(server_home, persistent=False) as server:
        yield server


@pytest.fixture(scope="session")
def take_redis_url(redis_server: RedisServer) -> Callable[[], str]:
    """Give out addresses of empty Redis databases, each to one holder at a time."""
    numbers = count(1)

    def take() -> str:
        number = next(numbers) % DATABASES
        with redis_server.connect(number) as client:
            client.flushdb()
        return redis_server.url_of(number)

    return take


@pytest.fixture
def redis_url(take_redis_url: Callable[[], str]) -> str:
    """An empty Redis database for one test."""
    return take_redis_url()


@pytest.fixture(scope="module")
def module_redis_url(take_redis_url: Callable[[], str]) -> str:
    """A Redis database for one module, for workers that serve all of its tests."""
    return take_redis_url()


@pytest.fixture(scope="session")
def postgres_server(server_home: Path) -> Iterator[PostgresServer]:
    """The session's PostgreSQL, without fsync. Faults take a `PostgresServer` of their own."""
    with PostgresServer(server_home, throw_away=True) as server:
        yield server


def make_environment(
    *, owner_url: str, database_url: str, redis_url: str, storage: Path
) -> Environment:
    """Return a whole environment for a process of Laneway; nothing of the caller's settings leaks in."""
    known = {name.upper() for name in Settings.model_fields}
    inherited = {name: value for name, value in os.environ.items() if name not in known}
    return inherited | {
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": database_url,
        "DATABASE_OWNER_URL": owner_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": SECRET_KEY,
        "ENCRYPTION_KEYS": ENCRYPTION_KEY,
        "SESSION_COOKIE_SECURE": "false",
        "STORAGE_PATH": str(storage),
        # Workers of many tests run side by side.
        "HEALTH_CHECK_PORT": "0",
        "CHECK_MX": "false",
    }


def migrate(home: Path, owner_url: str) -> None:
    """Bring a database up to date, with a login for the application's role."""
    environment = make_environment(
        owner_url=owner_url, database_url=owner_url, redis_url="redis://", storage=home
    )
    process = Process(
        name="migration",
        argv=[sys.executable, "-m", "app.db.migrate"],
        log=home / "logs" / "migrate.log",
        env=environment | {"DATABASE_APP_PASSWORD": APP_PASSWORD},
        cwd=ROOT,
    )
    run(process, seconds=60)


def as_application(owner_url: str) -> str:
    """Return the same database's address with the application's login."""
    server = owner_url.rpartition("@")[2]
    return f"postgresql+psycopg2://laneway_app:{APP_PASSWORD}@{server}"


@pytest.fixture(scope="session")
def template(postgres_server: PostgresServer, server_home: Path) -> str:
    """The name of the database that is migrated once and copied for every module."""
    migrate(server_home, postgres_server.owner_url)
    return DATABASE


@pytest.fixture(scope="session")
def take_owner_url(postgres_server: PostgresServer, template: str) -> Callable[[], str]:
    """Give out addresses, as the owner, of fresh migrated databases."""
    numbers = count(1)

    def take() -> str:
        name = f"test_{next(numbers)}"
        postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return postgres_server.url_of(name)

    return take


@pytest.fixture(scope="module")
def owner_url(take_owner_url: Callable[[], str]) -> str:
    """The module's database for its owner, whom row-level security does not bind."""
    return take_owner_url()


@pytest.fixture(scope="module")
def database_url(owner_url: str) -> str:
    """The module's database for the application's role."""
    return as_application(owner_url)


@pytest.fixture
def service_env(owner_url: str, database_url: str, redis_url: str, tmp_path: Path) -> Environment:
    """The environment of Laneway's processes in one test."""
    return make_environment(
        owner_url=owner_url, database_url=database_url, redis_url=redis_url, storage=tmp_path
    )


@pytest.fixture(scope="module")
def module_env(
    owner_url: str,
    database_url: str,
    module_redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Environment:
    """The environment of Laneway's processes that serve a whole module."""
    return make_environment(
        owner_url=owner_url,
        database_url=database_url,
        redis_url=module_redis_url,
        storage=tmp_path_factory.mktemp("storage"),
    )


def use_environment(patch: pytest.MonkeyPatch, wanted: Environment) -> None:
    """Make this process read `wanted` as its own environment, settings and engines included."""
    for name in os.environ:
        if name not in wanted:
            patch.delenv(name)
    for name, value in wanted.items():
        patch.setenv(name, value)
    forget_environment()


def forget_environment() -> None:
    """Drop what this process keeps of its environment: settings, database engines, the broker's client."""
    from app.db.engine import app_engine, owner_engine
    from app.settings import get_settings
    from tasks.dispatcher import broker_client

    for engine in (app_engine, owner_engine):
        if engine.cache_info().currsize:
            engine().dispose()
        engine.cache_clear()
    if broker_client.cache_info().currsize:
        broker_client().close()
    broker_client.cache_clear()
    get_settings.cache_clear()


@pytest.fixture
def environment(service_env: Environment) -> Iterator[Environment]:
    """This very process's environment for one test, pointing at its servers."""
    with pytest.MonkeyPatch.context() as patch:
        use_environment(patch, service_env)
        yield service_env
        forget_environment()


@pytest.fixture(scope="module")
def module_environment(module_env: Environment) -> Iterator[Environment]:
    """This very process's environment for a module, pointing at its servers."""
    with pytest.MonkeyPatch.context() as patch:
        use_environment(patch, module_env)
        yield module_env
        forget_environment()
