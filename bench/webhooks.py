"""Webhooks: one client with ten endpoints, one of which never answers; one worker process sends what nine of them get.

From the moment the ends of jobs are committed, all at once, to the last delivery to the nine recorded in PostgreSQL: each
signed, posted over HTTP to a receiver in a process of its own, and logged. Baseline: a bare aiohttp loop that posts to the
same receiver, 64 at once, and neither signs nor records.
"""

import json
import re
import time
import urllib.request
from uuid import UUID

from sqlalchemy import text

from app.db.scope import tenant_scope
from app.webhooks.endpoints import add_endpoint
from bench.clients import add_client
from bench.figures import Figure, Scale, Target
from bench.installation import Installation, run_installation, wait_for
from bench.proc import processor_seconds
from devtools.supervisor import run as run_to_end
from routing import queues

EVENTS = 2_000
GOOD = 9
ROUNDS = 3
SECONDS = 300
_JOBS = text("""
    INSERT INTO jobs (id, tenant_id, kind, title, status, total_items, done_items)
    SELECT gen_random_uuid(), :tenant, 'email_validation', 'leads.csv', 'processing', 100, 100 FROM generate_series(1, :n)
""")
_END = text(
    "UPDATE jobs SET status = 'completed', finished_at = clock_timestamp() WHERE status = 'processing' AND NOT is_system"
)
_DELIVERED = text("""
    SELECT count(*) FROM webhook_deliveries WHERE status = 'delivered'
""")
_OF_HANGING = text("""
    SELECT count(*) FROM webhook_attempts a JOIN webhook_deliveries d ON d.id = a.delivery_id
    JOIN webhook_endpoints e ON e.id = d.endpoint_id WHERE e.url LIKE '%/hang'
""")


def run(scale: Scale) -> list[Figure]:
    """Send, and let the bare loop post, in turns; the best of the rounds counts, for both."""
    events, rounds = scale.pick(EVENTS, 200), scale.pick(ROUNDS, 1)
    with run_installation(webhook_allow_loopback="true") as installation:
        base = start_receiver(installation)
        tenant = add_client(installation, "acme")
        add_endpoints(tenant, base)
        worker = installation.start_worker(queues.WEBHOOKS, "threads", 64, name="webhooks")
        send(installation, tenant, 20, 0)
        ours, bare, done = [], [], 20 * GOOD
        spent = processor_seconds(worker.pid)
        for _ in range(rounds):
            ours.append(send(installation, tenant, events, done))
            done += events * GOOD
            bare.append(post(installation, f"{base}/ok", events * GOOD))
        spent = processor_seconds(worker.pid) - spent
        seen = json.loads(urllib.request.urlopen(f"{base}/seen").read())  # noqa: S310 - ours
        with installation.owner.begin() as connection:
            tried = connection.execute(_OF_HANGING).scalar_one()
    assert seen["different"] >= done, "a delivery was recorded that never came"
    return [
        Figure(
            "webhook_deliveries",
            max(ours),
            "deliveries/s",
            max(bare),
            "bare aiohttp loop, 64 at once, nothing signed or recorded",
            Target(500),
            notes={
                "events": events,
                "endpoints": GOOD + 1,
                "ours": [round(rate) for rate in ours],
                "bare": [round(rate) for rate in bare],
                "attempts_at_the_hanging_one": tried,
                "processor_us_a_delivery": round(spent / (rounds * events * GOOD) * 1e6),
            },
        )
    ]


def start_receiver(installation: Installation) -> str:
    """Start the receiver; return its address."""
    receiver = installation.start_python("receiver", ["-m", "bench.receiver"])
    receiver.wait_until(lambda: "port " in receiver.tail(5), 30)
    found = re.search(r"port (\d+)", receiver.tail(5))
    assert found is not None
    return f"http://127.0.0.1:{found[1]}"


def add_endpoints(tenant: UUID, base: str) -> None:
    """Give the client nine endpoints that answer and one that hangs."""
    urls = [*(f"{base}/ok/{n}" for n in range(GOOD)), f"{base}/hang"]
    with tenant_scope(tenant) as connection:
        for url in urls:
            add_endpoint(connection, url=url, events=["job.completed"])


def send(installation: Installation, tenant: UUID, events: int, before: int) -> float:
    """End `events` jobs at once; return the deliveries a second to the nine."""
    with installation.owner.begin() as connection:
        connection.execute(_JOBS, {"tenant": tenant, "n": events})
    with installation.owner.begin() as connection:
        connection.execute(_END)
    started, wanted = time.perf_counter(), before + events * GOOD

    def is_done() -> bool:
        with installation.owner.begin() as connection:
            return bool(connection.execute(_DELIVERED).scalar_one() >= wanted)

    wait_for("The deliveries", is_done, SECONDS, every=0.05)
    return events * GOOD / (time.perf_counter() - started)


def post(installation: Installation, url: str, posts: int) -> float:
    """Let the bare loop post as often, in a process of its own; return the posts a second."""
    arguments = ["-m", "bench.baselines.aiohttp_posts", url, str(posts)]
    return float(
        run_to_end(installation.make_python("aiohttp-posts", arguments), SECONDS).split()[-1]
    )
