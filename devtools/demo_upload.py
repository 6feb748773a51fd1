"""The demo's client of the HTTP API: signs in, uploads the sample, follows the jobs."""

import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from devtools.errors import SetupError

TIMEOUT_SECONDS = 30.0
ENDED = {"completed", "failed", "cancelled", "dead_letter"}


@dataclass
class SampleJob:
    """One client's upload and what the API last said about it."""

    client: str
    token: str
    id: str
    started: float = field(default_factory=time.monotonic)
    status: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status.get("status") in ENDED

    @property
    def done(self) -> int:
        """Rows that have a verdict."""
        return int(self.status.get("done") or 0)

    @property
    def total(self) -> int:
        """Rows to verify; 0 until the list has been read."""
        return int(self.status.get("total") or 0)

    def count(self, verdict: str) -> int:
        """How many rows have this verdict."""
        return int((self.status.get("counts") or {}).get(verdict) or 0)

    def standing(self) -> str:
        """Say what it waits for, else its status."""
        waiting = self.status.get("waiting") or {}
        return str(waiting.get("text") or self.status.get("status"))

    def problem(self) -> str | None:
        """Say what is wrong with a job that has ended; None when every row has its verdict."""
        state = self.status.get("status")
        if state != "completed":
            why = self.status.get("error")
            return f"The job of {self.client} ended as {state}{f': {why}' if why else ''}."
        answered = sum((self.status.get("counts") or {}).values())
        if not 0 < self.total == self.done == answered:
            return f"The job of {self.client} has {answered} verdicts for {self.total} rows."
        return None


class RefusedError(SetupError):
    """The API answered with an error; `status` is its number."""

    def __init__(self, path: str, status: int, text: str) -> None:
        super().__init__(f"{path} answered {status}: {text}")
        self.status = status


class DemoClient:
    """Calls the API at `url` as people and programs would."""

    def __init__(self, url: str) -> None:
        self.url = url

    def sign_in(self, email: str, password: str) -> str:
        """Return an access token. Raises `SetupError`."""
        body = json.dumps({"email": email, "password": password}).encode()
        headers = {"Content-Type": "application/json"}
        try:
            token: str = self._call("/api/auth/login", body, headers)["access_token"]
        except RefusedError as error:
            if error.status != HTTPStatus.UNAUTHORIZED:
                raise
            raise SetupError(
                f"{email} has another password in this database than in LANEWAY_HOME: it was made from "
                "another home, or changed. Use that home, an empty database, or "
                f"`flask --app app.factory users password {email}`."
            ) from None
        return token

    def upload(self, client: str, token: str, path: Path) -> SampleJob:
        """Upload a list and return its job. Raises `SetupError`."""
        boundary = secrets.token_hex(16)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
            "Content-Type: text/csv\r\n\r\n"
        )
        body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Authorization": f"Bearer {token}",
        }
        return SampleJob(client, token, str(self._call("/api/uploads", body, headers)["id"]))

    def refresh(self, job: SampleJob) -> None:
        """Ask how far the job is. Raises `SetupError`."""
        headers = {"Authorization": f"Bearer {job.token}"}
        job.status = self._call(f"/api/enrichment/jobs/{job.id}/status", None, headers)
        if job.has_ended and not job.seconds:
            job.seconds = time.monotonic() - job.started

    def _call(self, path: str, body: bytes | None, headers: Mapping[str, str]) -> dict[str, Any]:
        request = urllib.request.Request(self.url + path, data=body, headers=dict(headers))  # noqa: S310 - our own address
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - the same
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")[:500]
            raise RefusedError(path, error.code, text) from None
        except (OSError, ValueError) as error:
            raise SetupError(f"{path} did not answer: {error}") from None
