"""Two real gunicorn processes of which one has more connections than the other."""

import http.client
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from bench.proc import children_of
from devtools.ports import find_free_port
from devtools.processes import Process
from devtools.supervisor import answers
from tests.conftest import ROOT, Environment

CONNECTIONS = 20


@pytest.fixture
def web(module_env: Environment, tmp_path: Path) -> Iterator[tuple[Process, int]]:
    """A web of two processes, both of which answer, and its port."""
    port = find_free_port()
    argv = [sys.executable, "-m", "gunicorn", "app.factory:create_app()", "--no-control-socket"]
    argv += ["--worker-class", "app.http.worker.PatientWorker", "--workers", "2"]
    argv += ["--threads", "4", "--bind", f"127.0.0.1:{port}"]
    web = Process(name="web", argv=argv, log=tmp_path / "web.log", env=module_env, cwd=ROOT)
    web.start()
    try:
        web.wait_until(lambda: answers(f"http://127.0.0.1:{port}/api/health"), 60.0)
        web.wait_until(lambda: all(kept(pid, port) is not None for pid in children_of(web.pid)), 60)
        yield web, port
    finally:
        web.stop(40.0)


def kept(pid: int, port: int) -> int | None:
    """Return how many connections to the port a process keeps; None: it does not look for any yet."""
    inodes = {link for fd in Path(f"/proc/{pid}/fd").iterdir() if (link := _target(fd))}
    if not any(link.startswith("anon_inode:[eventpoll]") for link in inodes):
        return None
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    ours = [row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"]
    return sum(f"socket:[{inode}]" in inodes for inode in ours)


def _target(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except FileNotFoundError:
        return ""


def test_who_has_more_leaves_new_ones_to_the_other(web: tuple[Process, int]) -> None:
    process, port = web
    stopped, other = children_of(process.pid)
    with ExitStack() as stack:

        def connect() -> None:
            for _ in range(CONNECTIONS):
                caller = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                stack.enter_context(closing(caller))
                caller.request("GET", "/api/openapi.json")
                caller.getresponse().read()

        os.kill(stopped, signal.SIGSTOP)
        try:
            connect()
        finally:
            os.kill(stopped, signal.SIGCONT)
        # Nobody waits for long for a process that does not come.
        assert kept(other, port) == CONNECTIONS
        connect()
        # All but the last, unless the machine lets it wait for longer than the other does.
        assert (kept(stopped, port) or 0) >= CONNECTIONS * 3 // 4
