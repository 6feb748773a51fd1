"""100 people poll `/status` every two seconds, as the job page does, while 1,000,000 results lie in the tables.

Ten clients with a list of 150,000 rows each, of which 100,000 are answered; a real worker goes on with them on a slow key
meanwhile, so that answers change. Two gunicorn processes. Timed is the request as the browser sees it: connection kept,
`If-None-Match` sent.
"""

import asyncio
import random
import time
from collections import Counter
from uuid import UUID

import aiohttp
from sqlalchemy import text

from bench.clients import add_client, add_provider_key, submit_rows
from bench.figures import Figure, Scale, Target, percentile
from bench.installation import Installation, run_installation
from bench.people import add_person
from routing import queues

CLIENTS = 10
PEOPLE = 100
ROWS = 150_000
ANSWERED = 100_000
EVERY_SECONDS = 2.0
_ANSWER = (
    """INSERT INTO job_results (job_id, item_no, tenant_id, verdict, code, message, mx, provider, checked_at)
       SELECT job_id, item_no, tenant_id, CASE WHEN mod(item_no, 4) = 0 THEN 'invalid' ELSE 'valid' END, 'ok', 'Accepted',
           'mx1.example.com', 'mailtester', now() FROM job_items WHERE item_no <= :answered""",
    """UPDATE chunks SET status = 'done', done_items = 100, finished_at = now(),
           counts = '{"valid": 75, "invalid": 25}' WHERE last_item <= :answered""",
    """UPDATE jobs SET status = 'processing', started_at = now(), done_items = :answered,
           counts = jsonb_build_object('valid', :answered * 3 / 4, 'invalid', :answered / 4),
           chunks_open = (SELECT count(*) FROM chunks c WHERE c.job_id = jobs.id AND c.status = 'ready')""",
)


def run(scale: Scale) -> list[Figure]:
    """Fill the tables, then let people poll."""
    rows, answered = scale.pick(ROWS, 3_000), scale.pick(ANSWERED, 2_000)
    with run_installation() as installation:
        add_provider_key(installation, "bench-slow-key", spacing_ms=100)
        people = fill(installation, rows, answered)
        installation.start_worker(queues.VERIFICATION, "threads", 16, name="verification")
        url = installation.start_web()
        took, statuses = asyncio.run(poll_all(url, people, scale.pick(30, 3)))
    unexpected = set(statuses) - {200, 304}
    assert not unexpected, f"unexpected answers: {statuses}"
    return [
        Figure(
            "status_p99",
            percentile(took, 0.99) * 1e3,
            "ms",
            target=Target(100, "most"),
            notes={
                "people": len(people),
                "results": answered * CLIENTS,
                "requests": len(took),
                "p50_ms": round(percentile(took, 0.5) * 1e3, 1),
                "max_ms": round(max(took) * 1e3, 1),
                "not_modified": statuses[304],
            },
        )
    ]


def fill(installation: Installation, rows: int, answered: int) -> list[tuple[str, UUID]]:
    """Make clients, lists, answers and people; return a token and a job for each person."""
    people: list[tuple[str, UUID]] = []
    for number in range(CLIENTS):
        tenant = add_client(installation, f"client-{number}")
        job = submit_rows(installation, tenant, rows, f"c{number}-")
        people += [
            (add_person(installation, tenant, f"p{n}@c{number}.com"), job)
            for n in range(PEOPLE // CLIENTS)
        ]
    with installation.owner.begin() as connection:
        for statement in _ANSWER:
            connection.execute(text(statement), {"answered": answered})
    with installation.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    return people


async def poll_all(
    url: str, people: list[tuple[str, UUID]], polls: int
) -> tuple[list[float], Counter[int]]:
    """Let everybody poll; return the seconds of each request, and how often each status was answered."""
    took: list[float] = []
    statuses: Counter[int] = Counter()
    begins = random.Random(1)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def poll(token: str, job: UUID) -> None:
            headers = {"Authorization": f"Bearer {token}"}
            await asyncio.sleep(begins.uniform(0, EVERY_SECONDS))
            for turn in range(polls + 1):
                started = time.perf_counter()
                address = f"{url}/api/enrichment/jobs/{job}/status"
                async with session.get(address, headers=headers) as response:
                    await response.read()
                seconds = time.perf_counter() - started
                if turn:
                    # Not the first: new processes load code and connect.
                    took.append(seconds)
                    statuses[response.status] += 1
                headers["If-None-Match"] = response.headers.get("ETag", "")
                await asyncio.sleep(max(0.0, EVERY_SECONDS - seconds))

        await asyncio.gather(*(poll(token, job) for token, job in people))
    return took, statuses
