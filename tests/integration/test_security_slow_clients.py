"""Clients that send half a request and stop: the web gives their threads back."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.http import worker
from devtools.ports import find_free_port
from devtools.processes import Process
from devtools.supervisor import answers
from tests.conftest import ROOT

START_SECONDS = 60.0
#: The application under the worker: it reads the body and says how much came.
APPLICATION = """
from app.http import worker

worker.HEADER_SECONDS = worker.BODY_SECONDS = 1.0


def application(environ, start_response):
    got = str(len(environ["wsgi.input"].read())).encode()
    start_response("200 OK", [("Content-Length", str(len(got)))])
    return [got]
"""
HALF_A_HEADER = b"GET / HTTP/1.1\r\nHo"
HALF_A_BODY = b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 100\r\n\r\nhalf"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A web of one process with two threads, whose patience is a second."""
    home = tmp_path_factory.mktemp("slow")
    (home / "slow_web.py").write_text(APPLICATION)
    number = find_free_port()
    argv = [sys.executable, "-m", "gunicorn", "slow_web:application", "--no-control-socket"]
    argv += ["--worker-class", "app.http.worker.PatientWorker", "--workers", "1"]
    argv += ["--threads", "2", "--bind", f"127.0.0.1:{number}"]
    env = {"PYTHONPATH": f"{home}:{ROOT}", "PATH": "/usr/bin:/bin"}
    web = Process(name="slow web", argv=argv, log=home / "web.log", env=env, cwd=Path(home))
    web.start()
    try:
        web.wait_until(lambda: answers(f"http://127.0.0.1:{number}/"), START_SECONDS)
        yield number
    finally:
        web.stop(10.0)


@pytest.mark.parametrize("sent", [HALF_A_HEADER, HALF_A_BODY])
def test_half_a_request_keeps_no_thread(port: int, sent: bytes) -> None:
    stuck = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]
    try:
        for client in stuck:
            client.sendall(sent)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
    finally:
        for client in stuck:
            client.close()


def test_a_body_that_comes_on_earns_time() -> None:
    class Reader:
        def read(self, size: int) -> bytes:
            return b"x" * size

    waiting: dict[Any, float] = {}
    body = worker._Body(Reader(), waiting, object())
    before = body._allowed
    assert len(body.read(2 * worker.BODY_BYTES_PER_SECOND)) == 2 * worker.BODY_BYTES_PER_SECOND
    assert before < body._allowed <= before + 2
    assert waiting == {}
