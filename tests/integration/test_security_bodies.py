"""Bodies that can't be read, on the real web server: the answer is that the client is wrong, not the server."""

import json
import socket
import sys
from collections.abc import Iterator

import pytest

from app.accounts.tokens import issue_token
from app.accounts.users import get_account
from app.db.scope import system_scope
from devtools.ports import find_free_port
from devtools.processes import Process
from devtools.supervisor import answers
from tests.conftest import ROOT
from tests.factories import make_person, make_tenant

START_SECONDS = 60.0


@pytest.fixture(scope="module")
def port(
    module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The web as it runs in production, one process."""
    number = find_free_port()
    argv = [sys.executable, "-m", "gunicorn", "app.factory:create_app()", "--no-control-socket"]
    argv += ["--worker-class", "app.http.worker.PatientWorker", "--workers", "1"]
    argv += ["--threads", "2", "--bind", f"127.0.0.1:{number}", "--forwarded-allow-ips", ""]
    log = tmp_path_factory.mktemp("web") / "web.log"
    web = Process(name="web", argv=argv, log=log, env=module_environment, cwd=ROOT)
    web.start()
    try:
        web.wait_until(
            lambda: answers(f"http://127.0.0.1:{number}/api/health/ready"), START_SECONDS
        )
        yield number
    finally:
        web.stop(10.0)


def exchange(port: int, request: bytes) -> tuple[int, dict[str, object]]:
    """Send bytes, read until the server closes; return the status and the document."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(request)
        answer = b""
        while piece := client.recv(65_536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body.count(b"HTTP/1.1") == 0, "one request, one answer"
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize("chunk", [b"zz\r\nx\r\n", b"-1\r\nx\r\n", b"1\r\nxxx\r\n"])
def test_an_upload_in_broken_chunks(port: int, chunk: bytes) -> None:
    person = make_person(make_tenant())
    with system_scope() as connection:
        account = get_account(connection, person.id)
    assert account
    head = f"""POST /api/uploads HTTP/1.1
Host: web
Authorization: Bearer {issue_token(account)[0]}
Content-Type: multipart/form-data; boundary=b
Transfer-Encoding: chunked

"""
    status, document = exchange(port, head.replace("\n", "\r\n").encode() + chunk)
    assert (status, document["code"]) == (400, "bad_request")


@pytest.mark.parametrize("form", ["application/json", "application/octet-stream"])
def test_what_is_read_as_it_comes_in_broken_chunks(port: int, form: str) -> None:
    head = f"POST /api/enrichment/webhook?provider=apollo HTTP/1.1\r\nHost: web\r\nContent-Type: {form}\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n"
    status, document = exchange(port, head.encode() + b"zz\r\nx\r\n")
    assert (status, document["code"]) == (400, "bad_request")
    assert document["detail"] == "The body's chunks are not well-formed."


@pytest.mark.parametrize("path", ["/api/enrichment/jobs", "/api/uploads", "/api/clients"])
def test_who_may_not_call_has_one_answer_whatever_the_body_is_like(port: int, path: str) -> None:
    """The rest of the body is found broken after the answer, on a connection that a proxy may use for others."""
    head = f"POST {path} HTTP/1.1\r\nHost: web\r\nContent-Type: application/json\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n"
    for chunk in (b"zz\r\nx\r\n", b"1\r\nxxx\r\n"):
        status, document = exchange(port, head.encode() + chunk)
        assert (status, document["code"]) == (401, "unauthenticated")


def test_a_body_that_nobody_read_is_no_request(port: int) -> None:
    inner = b"GET /api/health/ready HTTP/1.1\r\nHost: web\r\n\r\n"
    head = b"POST /api/enrichment/jobs HTTP/1.1\r\nHost: web\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(inner)
    after = b"GET /api/nothing HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(head + inner + after)
        answer = b""
        while piece := client.recv(65_536):
            answer += piece
    assert [part.split()[0] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"401", b"404"]


def test_json_deeper_than_python_can_follow(port: int) -> None:
    body = b"[" * 100_000
    head = b"POST /api/auth/login HTTP/1.1\r\nHost: web\r\nConnection: close\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    status, document = exchange(port, head + body)
    assert (status, document["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "header", ["SCRIPT_NAME: /foo", "PATH_INFO: /metrics", "X-Forwarded-Proto: https"]
)
def test_nobody_is_believed_to_be_a_proxy(port: int, header: str) -> None:
    """Not even on this machine: TRUSTED_PROXIES is 0."""
    request = f"GET /api/health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(request.encode())
        answer = b""
        while piece := client.recv(65_536):
            answer += piece
    head = answer.partition(b"\r\n\r\n")[0].decode()
    assert head.split()[1] == "200"
    assert "strict-transport-security" not in head.lower()
