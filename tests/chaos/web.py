"""The web as a process of its own (gunicorn), and somebody who calls it over HTTP."""

import json
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.accounts.tokens import issue_token
from app.accounts.users import get_account
from app.db.scope import system_scope
from devtools.ports import find_free_port
from devtools.processes import Process
from devtools.supervisor import answers
from tests.conftest import ROOT
from tests.factories import Person

START_SECONDS = 60.0
#: Longer than any server may take to say that it can't.
TIMEOUT_SECONDS = 40.0


@dataclass(frozen=True)
class Reply:
    """A status, headers and the JSON of the body."""

    status: int
    headers: Mapping[str, str]
    json: dict[str, Any]


class Web:
    """One gunicorn with one process, as the Procfile starts it."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        self.url = f"http://127.0.0.1:{(port := find_free_port())}"
        argv = [sys.executable, "-m", "gunicorn", "app.factory:create_app()"]
        argv += [
            "--worker-class",
            "app.http.worker.PatientWorker",
            "--workers",
            "1",
            "--threads",
            "8",
        ]
        argv += ["--bind", f"127.0.0.1:{port}"]
        self.process = Process(name="web", argv=argv, log=log, env=env, cwd=ROOT)
        self._headers: dict[str, str] = {}

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process.start()
        self.process.wait_until(lambda: answers(f"{self.url}/api/health/ready"), START_SECONDS)

    def sign_in(self, person: Person) -> None:
        """Call as this person from now on."""
        with system_scope() as connection:
            account = get_account(connection, person.id)
        assert account
        self._headers = {"Authorization": f"Bearer {issue_token(account)[0]}"}

    def get(self, path: str) -> Reply:
        """GET a path."""
        return self._send(urllib.request.Request(self.url + path, headers=self._headers))  # noqa: S310 - our own loopback URL

    def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """POST JSON to a path."""
        headers = {**self._headers, "Content-Type": "application/json"}
        data = json.dumps(dict(body)).encode()
        return self._send(urllib.request.Request(self.url + path, data=data, headers=headers))  # noqa: S310 - our own loopback URL

    def upload(self, content: bytes, *, key: str = "") -> Reply:
        """Upload a CSV as a form does."""
        boundary = secrets.token_hex(8)
        body = (
            f"--{boundary}\r\nContent-Disposition: form-data; name=file; filename=leads.csv\r\n"
            "Content-Type: text/csv\r\n\r\n"
        ).encode()
        body += content + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if key:
            headers["Idempotency-Key"] = key
        return self._send(
            urllib.request.Request(  # noqa: S310 - our own loopback URL
                f"{self.url}/api/uploads", data=body, headers=self._headers | headers
            )
        )

    @staticmethod
    def _send(request: urllib.request.Request) -> Reply:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - the same
                return Reply(answer.status, dict(answer.headers), json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, dict(error.headers), json.load(error))
