"""A receiver of webhooks that does as it is told, and the acts of the worker that sends them, on the real database."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

from app.db.scope import system_scope, tenant_scope
from app.jobs import release as releasing
from app.settings import get_settings
from app.webhooks import keeping
from app.webhooks.addresses import AddressRule
from app.webhooks.connections import make_session
from app.webhooks.endpoints import EventType, add_endpoint
from app.webhooks.run import run_chunk
from app.webhooks.tools import Tools
from tests.factories import Tenant, owner_sql

#: To this very machine, as tests need it.
HERE = AddressRule(allow_loopback=True)


@dataclass
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    @property
    def type(self) -> str:
        return str(self.event["type"])


@dataclass
class Reply:
    """What a receiver answers: at once, or when `after` is set."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    after: threading.Event | None = None


@dataclass
class Receiver:
    """A server on this machine; `answer` decides, request by request. It keeps what it got."""

    url: str
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], Reply] = field(default=lambda _: Reply())

    def of_job(self, job: UUID) -> list[str]:
        """Return the types of a job's events in the order in which they came."""
        return [
            r.type for r in self.received if r.event["data"].get("job", {}).get("id") == str(job)
        ]


@contextmanager
def run_receiver() -> Iterator[Receiver]:
    """Run a receiver for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            got = Received(self.path, headers, body)
            receiver.received.append(got)
            reply = receiver.answer(got)
            if reply.after is not None:
                reply.after.wait(30)
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A sender that does not wait is no error."""

    server = Server(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}/hook")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def add(tenant: Tenant, url: str, *events: EventType) -> tuple[UUID, str]:
    """Add an endpoint; return its id and its secret."""
    with tenant_scope(tenant.id) as connection:
        return add_endpoint(connection, url=url, events=events or ("job.completed",))


def end_job(job: UUID, status: str = "completed") -> None:
    """Bring a job to an end, as far as its row tells."""
    owner_sql(
        "UPDATE jobs SET status = :s, finished_at = clock_timestamp() WHERE id = :j",
        {"s": status, "j": job},
    )


def spread() -> int:
    """Make deliveries of what is in the outbox."""
    with system_scope() as connection:
        return keeping.spread(connection)


def release() -> list[releasing.Released]:
    """Release what is due; return the chunks of webhooks."""
    with system_scope() as connection:
        found = releasing.release(
            connection, limit=1000, unattended_window=1000, presence_seconds=15
        )
    return [chunk for chunk in found if chunk.kind == "deliver"]


async def run_all(
    chunks: Sequence[releasing.Released],
    rule: AddressRule = HERE,
    drain_by: Callable[[], float | None] = lambda: None,
) -> list[str]:
    """Run released chunks side by side, as a worker does; return how each ended."""
    loop = asyncio.get_running_loop()
    async with make_session(rule) as session:
        tools = Tools(
            settings=get_settings(),
            worker_id=uuid4(),
            session=session,
            rule=rule,
            in_thread=lambda call: loop.run_in_executor(None, call),
            drain_by=drain_by,
        )
        return await asyncio.gather(
            *(run_chunk(tools, c.chunk_id, c.fence, c.tenant_id) for c in chunks)
        )


def deliver(rule: AddressRule = HERE) -> list[str]:
    """Spread, release and run what is due now; return how each endpoint's run ended."""
    spread()
    return asyncio.run(run_all(release(), rule))


#: Locked as the product does: an endpoint's chunk, the endpoint, its deliveries; one endpoint in a transaction.
MAKE_DUE = """
    SELECT 1 FROM chunks c JOIN webhook_endpoints e ON e.job_id = c.job_id WHERE e.id = :e FOR UPDATE OF c;
    UPDATE webhook_endpoints SET not_before = NULL WHERE id = :e;
    UPDATE webhook_deliveries SET next_at = now() WHERE endpoint_id = :e AND status = 'pending';
    UPDATE chunks c SET run_at = now() FROM webhook_endpoints e
    WHERE e.id = :e AND c.job_id = e.job_id AND c.status = 'ready';
"""


def make_due() -> None:
    """Let the time of every waiting attempt and every rest of an endpoint be over."""
    for endpoint in owner_sql("SELECT coalesce(json_agg(id), '[]') FROM webhook_endpoints"):
        owner_sql(MAKE_DUE, {"e": endpoint})


def deliveries(endpoint: UUID) -> list[dict[str, Any]]:
    """Return an endpoint's deliveries, the oldest first, as the owner sees them."""
    found = owner_sql(
        """SELECT coalesce(json_agg(to_json(d) ORDER BY d.id), '[]') FROM webhook_deliveries d
           WHERE d.endpoint_id = :e""",
        {"e": endpoint},
    )
    return list(found)


def state(endpoint: UUID) -> dict[str, Any]:
    """Return an endpoint's row."""
    found = owner_sql("SELECT to_json(e) FROM webhook_endpoints e WHERE e.id = :e", {"e": endpoint})
    return dict(found)
