"""Later calls of the simulated vendors: caught as they come, and handed to the web when a test says so."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

from flask.testing import FlaskClient

from app.crypto import encrypt
from app.factory import create_app
from tests.chaos.waiting import wait_for
from tests.integration.lookup_world import KEY, Lookups

SECONDS = 20.0


@dataclass
class Caught:
    """A vendor's call, as it left the vendor."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    def deliver(
        self, client: FlaskClient, *, path: str | None = None, body: bytes | None = None
    ) -> tuple[int, str | None]:
        """Hand it to the web, in whole or changed; return status and what the call was taken for."""
        answer = client.post(
            path or self.path, data=self.body if body is None else body, headers=self.headers
        )
        said = answer.json or {}
        return answer.status_code, said.get("state")


@dataclass
class Hook:
    """Stands at PUBLIC_URL. With `forward_to` it hands each call on at once, and keeps what came of it in `answers`."""

    url: str = ""
    calls: list[Caught] = field(default_factory=list)
    forward_to: FlaskClient | None = None
    answers: list[tuple[int, str | None]] = field(default_factory=list)

    def wait_for(self, n: int) -> list[Caught]:
        """Return the calls, when there are so many."""
        wait_for(lambda: len(self.calls) >= n, SECONDS, f"{n} calls of vendors")
        return list(self.calls)


@contextmanager
def listening() -> Iterator[Hook]:
    """Run a hook for the length of the block."""
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            names = ("Content-Type", "X-Request-Signature")
            headers = {name: value for name in names if (value := self.headers[name])}
            call = Caught(self.path, headers, body)
            if hook.forward_to is not None:
                hook.answers.append(call.deliver(hook.forward_to))
            hook.calls.append(call)
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Callbacks:
    """Jobs whose providers may answer later, the web, and what is kept of the calls."""

    def __init__(self, lookups: Lookups, hook: Hook) -> None:
        self.lookups, self.hook, self.world = lookups, hook, lookups.world
        self.client = create_app().test_client()

    def submit(self, *leads: Mapping[str, str], **wish: Any) -> UUID:
        return self.lookups.submit(*leads, **wish)

    def run(self, **settings: Any) -> list[str]:
        """Run what is due; nobody is asked to call back at another address than the hook's."""
        return self.lookups.run(**{"public_url": self.hook.url, **settings})

    def deliver(self, call: Caught, **changes: Any) -> tuple[int, str | None]:
        return call.deliver(self.client, **changes)

    def attempts(self, job: UUID) -> list[tuple[str, str, str, bool]]:
        """(ref, provider, outcome, came later?) of every question and answer, in order."""
        rows = self.world.rows(
            """SELECT i.lead ->> 'ref' AS ref, a.provider, coalesce(a.code, a.outcome) AS said, a.is_late
               FROM lookup_attempts a JOIN job_items i USING (job_id, item_no) WHERE job_id = :j ORDER BY a.id""",
            j=job,
        )
        return [(r["ref"], r["provider"], r["said"], r["is_late"]) for r in rows]  # type: ignore[misc]

    def events(self) -> list[tuple[str, str, UUID | None, list[int]]]:
        """(provider, state, job, items) of every call that is kept, in order."""
        rows = self.world.rows("SELECT * FROM lookup_events ORDER BY id")
        return [(r["provider"], r["state"], r["job_id"], r["item_nos"]) for r in rows]  # type: ignore[misc]

    def chunk(self) -> dict[str, object]:
        """The only chunk that is not done."""
        (row,) = self.world.rows(
            """SELECT status, waits_for, run_at <= clock_timestamp() AS is_due FROM chunks
               WHERE status <> 'done'"""
        )
        return row

    def let_deadlines_pass(self) -> None:
        self.world.rows(
            "UPDATE lookup_waits SET deadline = clock_timestamp() - interval '1 s' RETURNING 1"
        )
        self.world.make_due()

    def forget(self) -> None:
        """Let another process go on: nothing is remembered outside of the tables."""
        old = self.lookups
        self.lookups = Lookups(self.world, old.sandbox, old.redis_url)

    def give_key(self, provider: str) -> None:
        """Let the tenant's key for a provider stand in the table, where the web finds it."""
        self.world.rows(
            """INSERT INTO api_keys (tenant_id, provider, fingerprint, secret_encrypted, hint)
               VALUES (:t, :p, 'f', :s, '0001') RETURNING 1""",
            t=self.world.tenants["acme"],
            p=provider,
            s=encrypt(KEY),
        )

    @staticmethod
    def split(call: Caught) -> tuple[bytes, bytes]:
        """Return Apollo's call as two: one with the e-mails, one with the telephone numbers."""
        whole = json.loads(call.body)

        def without(name: str) -> bytes:
            people = [{k: v for k, v in row.items() if k != name} for row in whole["people"]]
            return json.dumps({**whole, "people": people}).encode()

        return without("phone_numbers"), without("emails")
