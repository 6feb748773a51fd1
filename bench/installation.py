"""A private installation for one benchmark: PostgreSQL that syncs to disk, Redis, sandbox, workers, web.

Everything is real and on free ports, in a temporary folder that is removed; leaving the block stops every process,
whatever happened in it (a kill of the runner included: children are on the leash).
"""

import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet
from sqlalchemy import Engine

from app.db.engine import app_engine, make_engine, owner_engine
from app.settings import Settings, get_settings
from devtools.errors import SetupError
from devtools.ports import find_free_port
from devtools.postgres_place import remove_place
from devtools.postgres_server import PostgresServer
from devtools.processes import Process
from devtools.redis_server import RedisServer
from devtools.supervisor import Supervisor, answers, run
from sandbox.process import RunningSandbox, run_sandbox

ROOT = Path(__file__).resolve().parents[1]
READY_SECONDS = 60.0
WORKER_FLAGS = ("--without-gossip", "--without-mingle", "-E")
Environment = dict[str, str]


@dataclass(frozen=True)
class Installation:
    """A running installation. `environment` is what its processes, and this one, see."""

    home: Path
    postgres: PostgresServer
    redis: RedisServer
    sandbox: RunningSandbox
    environment: Environment
    owner: Engine
    app: Engine
    supervisor: Supervisor

    def start_worker(
        self, queue: str, pool: str, slots: int, *, name: str = "worker", **more: str
    ) -> Process:
        """Start a Celery worker as in Procfile.worker and wait until it consumes; `more` is its environment."""
        arguments = ["-m", "celery", "-A", "celery_config", "worker", "-Q", queue, "-P", pool]
        arguments += ["-c", str(slots), "-n", f"{name}@%h", *WORKER_FLAGS]
        worker = self.start_python(name, arguments, **more)
        worker.wait_until(lambda: " ready." in worker.tail(200), READY_SECONDS)
        return worker

    def start_web(self, processes: int = 2) -> str:
        """Start gunicorn as in Procfile and return its address."""
        port = find_free_port()
        arguments = [
            "-m",
            "gunicorn",
            "app.factory:create_app()",
            "--worker-class",
            "app.http.worker.PatientWorker",
        ]
        arguments += ["--workers", str(processes), "--threads", "16", "--graceful-timeout", "5"]
        web = self.start_python("web", [*arguments, "--bind", f"127.0.0.1:{port}"])
        url = f"http://127.0.0.1:{port}"
        # All of them: connections that are kept stay with the process that took them.
        web.wait_until(lambda: web.tail(200).count("Worker is ready") == processes, READY_SECONDS)
        web.wait_until(lambda: answers(f"{url}/api/health"), READY_SECONDS)
        return url

    def dispatch(self) -> int:
        """Release what fits and publish it, as the web does after an upload; return how many messages went out."""
        # Celery's app reads the environment as it is loaded: not before it is the installation's.
        from celery_config import celery_app  # noqa: PLC0415
        from tasks.dispatcher import dispatch  # noqa: PLC0415

        return dispatch(celery_app)

    def start_python(self, name: str, arguments: list[str], **more: str) -> Process:
        """Start `python …` in the installation's environment."""
        return self.supervisor.start(self.make_python(name, arguments, **more))

    def make_python(self, name: str, arguments: list[str], **more: str) -> Process:
        """Return `python …` in the installation's environment, not yet started."""
        log = self.home / "logs" / f"{name}.log"
        return Process(name, [sys.executable, *arguments], log, self.environment | more, ROOT)

    def stop(self, process: Process) -> None:
        """Stop one of its processes before the end."""
        process.stop(30.0)
        self.supervisor.processes.remove(process)


@contextmanager
def run_installation(*, prompt_sandbox: bool = False, **settings: str) -> Iterator[Installation]:
    """Bring everything up and this process into its environment; `settings` are variables of `app.settings`.

    A prompt sandbox is for what is judged by arrival; it takes the processor from the callers, so not for throughput.
    """
    home = Path(tempfile.mkdtemp(prefix="laneway-bench-"))
    home.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        stack.callback(remove_place, home)
        postgres = stack.enter_context(PostgresServer(home))
        redis = stack.enter_context(RedisServer(home))
        # A key's calls must all be on record: 90 s of the fastest runs stay below this.
        sandbox = stack.enter_context(
            run_sandbox("--keep", "400000", *["--prompt"] * prompt_sandbox)
        )
        environment = _environment(home, postgres, redis, sandbox.url)
        environment |= {name.upper(): value for name, value in settings.items()}
        stack.enter_context(_as_own(environment))
        run(_migration(home, environment), 60)
        owner = make_engine(postgres.owner_url, role=None)
        app = make_engine(environment["DATABASE_URL"], role="laneway_app")
        stack.callback(owner.dispose)
        stack.callback(app.dispose)
        supervisor = stack.enter_context(Supervisor())
        yield Installation(home, postgres, redis, sandbox, environment, owner, app, supervisor)


def wait_for(what: str, ready: Callable[[], bool], seconds: float, every: float = 0.02) -> float:
    """Wait until `ready()`; return the seconds it took. Raises `SetupError` when it takes too long."""
    started = time.perf_counter()
    while not ready():
        if time.perf_counter() - started > seconds:
            raise SetupError(f"{what} took longer than {seconds:.0f} s.")
        time.sleep(every)
    return time.perf_counter() - started


def _environment(
    home: Path, postgres: PostgresServer, redis: RedisServer, sandbox_url: str
) -> Environment:
    known = {name.upper() for name in Settings.model_fields}
    inherited = {name: value for name, value in os.environ.items() if name not in known}
    password = secrets.token_urlsafe(16)
    server = postgres.owner_url.rpartition("@")[2]
    return inherited | {
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "DATABASE_OWNER_URL": postgres.owner_url,
        "DATABASE_URL": f"postgresql+psycopg2://laneway_app:{password}@{server}",
        "DATABASE_APP_PASSWORD": password,
        "REDIS_URL": redis.url,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "STORAGE_PATH": str(home / "storage"),
        "SESSION_COOKIE_SECURE": "false",
        "MAILTESTER_BASE_URL": sandbox_url,
        "MAILTESTER_TOKEN_URL": f"{sandbox_url}/token",
        "APOLLO_BASE_URL": sandbox_url,
        "HUNTER_BASE_URL": sandbox_url,
        "CLEARBIT_BASE_URL": sandbox_url,
        "HEALTH_CHECK_PORT": "0",
        # As in the image: a tenth of a small request's time in the web is its line in the log for people.
        "LOG_FORMAT": "json",
        # Invented domains: no resolver knows them.
        "CHECK_MX": "false",
    }


def _migration(home: Path, environment: Environment) -> Process:
    argv = [sys.executable, "-m", "app.db.migrate"]
    return Process("migration", argv, home / "logs" / "migrate.log", environment, ROOT)


@contextmanager
def _as_own(environment: Environment) -> Iterator[None]:
    """Give this process the environment for the block; what it keeps of another is forgotten."""
    before = dict(os.environ)
    os.environ.update(environment)
    _forget()
    try:
        yield
    finally:
        _forget()
        os.environ.clear()
        os.environ.update(before)


def _forget() -> None:
    for engine in (app_engine, owner_engine):
        if engine.cache_info().currsize:
            engine().dispose()
        engine.cache_clear()
    get_settings.cache_clear()
