"""The embedded servers: faults, odd places, and roots in closed folders."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis

from devtools import redis_server as redis_module
from devtools.errors import SetupError
from devtools.postgres_place import remove_place
from devtools.postgres_server import PostgresServer
from devtools.private_files import read_private, write_private
from devtools.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
AS_ROOT = os.geteuid() == 0


@pytest.fixture
def home() -> Iterator[Path]:
    """A home in a path with spaces, quotes, and more bytes than a unix socket's name may have."""
    top = Path(tempfile.mkdtemp(prefix="laneway-"))
    top.chmod(0o711)
    path = top / 'a "quoted" folder' / ("long " * 30).strip() / "home"
    path.parent.mkdir(parents=True)
    yield path
    if path.exists():
        remove_place(path)
    shutil.rmtree(top)


def test_postgres_keeps_password_port_and_data(home: Path) -> None:
    with PostgresServer(home) as server:
        first = server.owner_url
        server.execute("CREATE TABLE kept AS SELECT 1 AS one", "laneway")
        encoding = server.execute("SHOW server_encoding", "laneway")
        fsync = server.execute("SHOW fsync")
    with PostgresServer(home) as server:
        assert server.owner_url == first
        assert server.execute("SELECT one FROM kept", "laneway") == [(1,)]
    assert (encoding, fsync) == ([("UTF8",)], [("on",)])
    assert stat.S_IMODE((home / "postgres.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "postgres" / "data").stat().st_mode) == 0o700


def test_postgres_wants_its_password(home: Path) -> None:
    with PostgresServer(home, throw_away=True) as server:
        where = f"host=127.0.0.1 port={server.port} dbname=laneway"
        for password in ("", "guess"):
            with pytest.raises(psycopg2.OperationalError):
                psycopg2.connect(where, user="postgres", password=password)


def test_postgres_recovers_from_a_crash_on_the_same_port(home: Path) -> None:
    with PostgresServer(home, throw_away=True) as server:
        server.execute("CREATE TABLE kept AS SELECT 1 AS one", "laneway")
        first = server.owner_url
        server.kill()
        assert not server.is_running
        server.resume()
        assert server.execute("SELECT one FROM kept", "laneway") == [(1,)]
        server.restart()
        assert server.owner_url == first
    assert not (home / "postgres").exists()


def test_a_folder_is_not_served_twice(home: Path) -> None:
    with (
        PostgresServer(home, throw_away=True),
        pytest.raises(SetupError, match="in use by process"),
    ):
        PostgresServer(home, throw_away=True).start()
    with RedisServer(home), pytest.raises(SetupError, match="in use by process"):
        RedisServer(home).start()


@pytest.mark.parametrize("keeper_is_there", [True, False])
def test_servers_start_after_their_runner_was_killed(home: Path, keeper_is_there: bool) -> None:
    code = textwrap.dedent(f"""
        import os, signal, sys
        from pathlib import Path
        from devtools.leash import leash
        from devtools.postgres_server import PostgresServer
        from devtools.redis_server import RedisServer
        home = Path(sys.argv[1])
        with PostgresServer(home) as postgres, RedisServer(home) as redis:
            postgres.execute("CREATE TABLE kept AS SELECT 1 AS one", "laneway")
            print(postgres.pid, redis.pid, flush=True)
            if not {keeper_is_there}:
                os.kill(leash.start(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    runner = subprocess.run(
        [sys.executable, "-c", code, str(home)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    old = [int(word) for word in runner.stdout.split()]
    with PostgresServer(home) as postgres, RedisServer(home) as redis:
        assert postgres.execute("SELECT one FROM kept", "laneway") == [(1,)]
        assert redis.connect().ping()
        assert not [pid for pid in old if pid in psutil.pids() and not is_zombie(pid)]


def is_zombie(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_stale_mark_with_a_strangers_number_does_not_stop_postgres(home: Path) -> None:
    with PostgresServer(home) as server:
        mark = server.home / "postgres" / "data" / "postmaster.pid"
        lines = mark.read_text().splitlines()
        server.kill()
        mark.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
        server.resume()
        assert server.is_running


def test_data_without_its_password_is_set_aside(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with PostgresServer(home):
        pass
    (home / "postgres.json").unlink()
    with PostgresServer(home) as server:
        assert server.execute("SELECT 1") == [(1,)]
    assert "starting afresh" in capsys.readouterr().out
    assert list((home / "postgres").glob("data.unused-*"))


def test_a_taken_port_is_changed_for_another(home: Path) -> None:
    with PostgresServer(home, throw_away=True) as stranger:
        other = home.with_name("other")
        other.mkdir(mode=0o711)
        write_private(other / "redis.json", {"password": "known", "port": stranger.port})
        with RedisServer(other, persistent=False) as redis:
            assert redis.port != stranger.port
        assert read_private(other / "redis.json") == {"password": "known", "port": redis.port}


@pytest.mark.skipif(not AS_ROOT, reason="only root has to run PostgreSQL as somebody else")
def test_root_in_a_closed_folder_opens_nothing(home: Path) -> None:
    closed = home.parents[1]
    closed.chmod(0o700)
    before = {path: path.stat().st_mode for path in (*home.parents, Path(sys.prefix).resolve())}
    with PostgresServer(home, throw_away=True) as server:
        data = (home / "postgres" / "data").resolve()
        assert not data.is_relative_to(closed)
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert data.stat().st_uid != 0
        assert psutil.Process(server.pid).uids().effective == data.stat().st_uid
    assert {path: path.stat().st_mode for path in before} == before
    assert not data.exists()


@pytest.mark.skipif(not AS_ROOT, reason="only root has to run PostgreSQL as somebody else")
def test_data_follows_when_a_home_is_closed_later(home: Path) -> None:
    with PostgresServer(home) as server:
        server.execute("CREATE TABLE kept AS SELECT 1 AS one", "laneway")
    home.parents[1].chmod(0o700)
    with PostgresServer(home) as server:
        assert server.execute("SELECT one FROM kept", "laneway") == [(1,)]
        assert (home / "postgres").is_symlink()


@pytest.fixture(params=["path", "wheel"])
def redis_program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each kind of server there is: the system's, and the one in the wheel."""
    if request.param == "wheel":
        monkeypatch.setattr(redis_module, "ON_PATH", ())
    elif not any(shutil.which(name) for name in redis_module.ON_PATH):
        pytest.skip("no redis-server or valkey-server on the PATH")
    return redis_module.find_program()


def test_redis_keeps_its_data_and_never_evicts(home: Path, redis_program: str) -> None:
    with RedisServer(home) as server:
        server.connect().set("kept", 1)
        assert psutil.Process(server.pid).exe() == str(Path(redis_program).resolve())
        assert server.connect().config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        server.kill()
        server.resume()
        server.connect().set("kept", 2)
        server.restart()
        first = server.url
    with RedisServer(home) as server:
        assert server.connect().get("kept") == b"2"
        assert server.url == first


def test_redis_never_shows_its_password(home: Path) -> None:
    with RedisServer(home, persistent=False) as server:
        password = read_private(home / "redis.json")["password"]
        assert password not in " ".join(psutil.Process(server.pid).cmdline())
        assert password not in (home / "logs" / "redis.log").read_text()


def test_redis_puts_aside_what_it_cannot_load(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RedisServer(home) as server:
        server.connect().set("kept", 1)
    for path in (home / "redis" / "appendonlydir").glob("*.aof"):
        path.write_bytes(b"REDIS9999" + b"from another version")
    with RedisServer(home) as server:
        assert server.connect().get("kept") is None
    assert capsys.readouterr().out.count("\n") == 1
    assert len(list(home.glob("redis.unreadable-*"))) == 1


def test_redis_can_be_frozen_and_woken(home: Path) -> None:
    with RedisServer(home, persistent=False) as server:
        server.process.send(signal.SIGSTOP)
        client = redis.Redis.from_url(server.url, socket_timeout=0.2, retry=None)
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.process.send(signal.SIGCONT)
        assert server.connect().ping()
