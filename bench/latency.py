"""From submit to the first provider call, on an idle installation: median of 30 uploads.

From the moment the client begins to send `POST /api/uploads` (a list of five rows) to the arrival of the first of its
calls at the sandbox, by the one clock that all processes of a machine share. In between lie the web, the parse lane, the
verification lane and the keys; nothing is warmed but by the uploads before.
"""

import asyncio
import time
from uuid import UUID

import aiohttp

from bench.clients import add_client, add_provider_key, is_completed
from bench.figures import Figure, Scale, Target, percentile
from bench.installation import Installation, run_installation, wait_for
from bench.people import add_person
from routing import queues

UPLOADS = 30
WARM = 3
ROWS = 5


async def upload(url: str, token: str, number: int) -> tuple[float, UUID]:
    """Upload a list; return the moment (monotonic s) at which it began and the job's id."""
    rows = "".join(f"Ann,ok-{number}-{row}@example.com\n" for row in range(ROWS))
    form = aiohttp.FormData()
    form.add_field("file", f"name,email\n{rows}".encode(), filename="leads.csv")
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        started = time.monotonic()
        async with session.post(f"{url}/api/uploads", data=form) as response:
            assert response.status == 202, await response.text()
            return started, UUID((await response.json())["id"])


def run(scale: Scale) -> list[Figure]:
    """Upload one list after the other, each when the one before is done."""
    with run_installation() as installation:
        add_provider_key(installation, "bench-unlimited-key")
        token = add_person(installation, add_client(installation, "acme"), "ann@example.com")
        installation.start_worker(queues.INGEST, "prefork", 2, name="ingest")
        installation.start_worker(queues.VERIFICATION, "threads", 64, name="verification")
        url = installation.start_web()
        took = [once(installation, url, token, n) for n in range(scale.pick(UPLOADS, 5) + WARM)]
    took = took[WARM:]
    return [
        Figure(
            "submit_to_call",
            percentile(took, 0.5) * 1e3,
            "ms",
            target=Target(100, "most"),
            notes={
                "uploads": len(took),
                "min_ms": round(min(took) * 1e3, 1),
                "p95_ms": round(percentile(took, 0.95) * 1e3, 1),
                "max_ms": round(max(took) * 1e3, 1),
            },
        )
    ]


def once(installation: Installation, url: str, token: str, number: int) -> float:
    """Return the seconds from one upload to its first call."""
    started, job = asyncio.run(upload(url, token, number))
    wait_for("The list", lambda: is_completed(installation, job), 60)
    arrivals = [
        call["mono_ms"] / 1e3
        for call in installation.sandbox.calls()
        if call["email"].startswith(f"ok-{number}-")
    ]
    # Idle again: nothing of this list is left to do when the next one comes.
    time.sleep(0.3)
    return float(min(arrivals) - started)
