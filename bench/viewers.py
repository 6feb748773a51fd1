"""500 people watch jobs over the streams of one web process, of ten clients and then of one, while jobs are made.

Timed is from the commit until each of the
client's viewers has read the event. Before it is measured, everybody has connected and the stream is quiet. The memory is
that of the web process, at its peak; the processor's time is for all that was sent.
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import text

from app.jobs.ids import new_job_id
from bench.clients import add_client
from bench.figures import Figure, Scale, Target, percentile
from bench.installation import Installation, run_installation
from bench.people import add_person
from bench.proc import children_of, peak_mb, processor_seconds

CLIENTS = 10
VIEWERS = 500
CHANGES = 200
EVERY_SECONDS = 0.1
PATIENCE_SECONDS = 10.0
#: The moment that a title holds is the one just before the commit.
_MAKE = text("""
    INSERT INTO jobs (id, tenant_id, kind, title, total_items) VALUES (:id, :tenant, 'email_validation', :title, 100)
""")


@dataclass
class Seen:
    """What viewers saw: seconds from commit to read, and how often the list was to be read again."""

    took: list[float] = field(default_factory=list)
    resets: int = 0
    connected: int = 0


def run(scale: Scale) -> list[Figure]:
    """Watch as ten clients, then as one, whose every change goes to everybody."""
    return [
        *_measure(scale, CLIENTS, "event_p99", "viewers_memory"),
        *_measure(scale, 1, "event_p99_one_client", "viewers_memory_one_client"),
    ]


def _measure(scale: Scale, clients: int, latency: str, memory: str) -> list[Figure]:
    viewers, changes = scale.pick(VIEWERS, 50), scale.pick(CHANGES, 20)
    most = str(viewers)
    with run_installation(event_streams=most, event_streams_per_client=most) as installation:
        people = [
            (tenant, add_person(installation, tenant, f"p{n}@c{number}.com"))
            for number in range(clients)
            for tenant in [add_client(installation, f"client-{number}")]
            for n in range(viewers // clients)
        ]
        url = installation.start_web(processes=1)
        web = children_of(installation.supervisor.processes[-1].pid)[0]
        idle_mb = peak_mb(web)
        seen, seconds = asyncio.run(_watch_all(installation, url, people, changes, web))
        peak = peak_mb(web)
    wanted = changes * len(people) // clients
    assert len(seen.took) == wanted, f"{len(seen.took)} of {wanted} events came"
    return [
        Figure(
            latency,
            percentile(seen.took, 0.99) * 1e3,
            "ms",
            target=Target(1_000, "most"),
            notes={
                "viewers": len(people),
                "clients": clients,
                "events_read": len(seen.took),
                "p50_ms": round(percentile(seen.took, 0.5) * 1e3, 1),
                "max_ms": round(max(seen.took) * 1e3, 1),
                "web_processor_s": round(seconds, 2),
            },
        ),
        Figure(
            memory,
            peak,
            "MB",
            target=Target(200, "most"),
            notes={"before_mb": round(idle_mb, 1), "viewers": len(people)},
        ),
    ]


async def _watch_all(
    installation: Installation, url: str, people: list[tuple[UUID, str]], changes: int, web: int
) -> tuple[Seen, float]:
    seen = Seen()
    port = int(url.rpartition(":")[2])
    # As they come after a restart: not all in the same moment.
    tasks = []
    for _, token in people:
        tasks.append(asyncio.create_task(_watch(port, token, seen)))
        await asyncio.sleep(0.01)
    await _until(lambda: seen.connected == len(people))
    # Until the first reset is through.
    await asyncio.sleep(2)
    before = processor_seconds(web)
    tenants = list(dict.fromkeys(tenant for tenant, _ in people))
    for number in range(changes):
        await asyncio.to_thread(_change, installation, tenants[number % len(tenants)])
        await asyncio.sleep(EVERY_SECONDS)
    wanted = changes * len(people) // len(tenants)
    await _until(lambda: len(seen.took) >= wanted)
    spent = processor_seconds(web) - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return seen, spent


def _change(installation: Installation, tenant: UUID) -> None:
    with installation.owner.begin() as connection:
        title = repr(time.time())
        connection.execute(_MAKE, {"id": new_job_id(), "tenant": tenant, "title": title})


async def _watch(port: int, token: str, seen: Seen) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /api/enrichment/jobs/events HTTP/1.1\r\nHost: web\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    event = ""
    while line := (await reader.readline()).decode():
        name, _, value = line.rstrip().partition(": ")
        if name == "event":
            event = value
            seen.connected += value == "hello"
            seen.resets += value == "reset"
        elif name == "data" and event == "job":
            seen.took.append(time.time() - float(json.loads(value)["title"]))
    writer.close()


async def _until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS + 20
    while not ready():
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(0.05)
