"""The job API: jobs made over HTTP, 50 at once and 300 a second; the list and the figures with 1,000,000 jobs in the table.

Two gunicorn processes. Timed is the request as a program sends it, its connection kept. Made jobs are single look-ups; no
worker runs, so that what is measured is the API. With 50 requests under way at all times a request takes 50 divided by the
rate on average, however fast the API is; so there is a second figure, of requests that begin at their moments, 300 in each second,
whether or not those before them were answered. The million jobs are one client's, a year old to new, ended and open.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

import aiohttp
from sqlalchemy import text

from bench.clients import add_client
from bench.figures import Figure, Scale, Target, percentile
from bench.installation import Installation, run_installation
from bench.people import add_person
from bench.plain_http import Connection
from bench.proc import children_of, processor_seconds

JOBS = 1_000_000
MADE = 6_000
READS = 400
#: Jobs a second of those that are made at their moments.
PACE = 300
AT_ONCE = 50
#: Of a reader: some people look at once, not fifty.
READERS = 4
PATH = "/api/enrichment/jobs"
_MANY = """
    INSERT INTO jobs (id, tenant_id, kind, title, status, priority, tags, total_items, done_items, created_at, finished_at, max_retries)
    SELECT (substr(uuid7_floor(now() - make_interval(secs => (:jobs - n) * 30))::text, 1, 14) || '7'
            || substr(md5(n::text), 1, 3) || '-8' || substr(md5(n::text), 4, 3) || '-' || substr(md5(n::text), 7, 12))::uuid, :tenant,
        (ARRAY['single_lead_enrichment', 'batch_lead_enrichment', 'email_validation'])[1 + n % 3], 'job ' || n,
        CASE WHEN n % 100 = 0 THEN 'dead_letter' WHEN n > :jobs - 1000 THEN 'pending' ELSE 'completed' END, 1 + n % 5,
        CASE WHEN n % 50 = 0 THEN ARRAY['vip'] ELSE '{}' END, 1, 1, now() - make_interval(secs => (:jobs - n) * 30), now(), 3
    FROM generate_series(1, :jobs) AS n
"""
#: Indexes that no constraint stands on.
_SECONDARY = """
    SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'jobs'
        AND indexname NOT IN (SELECT conname FROM pg_constraint WHERE conrelid = 'jobs'::regclass)
"""
_FIGURES = """
    INSERT INTO job_figures (tenant_id, minute, kind, shard, created, completed, items_done)
    SELECT :tenant, date_trunc('minute', now()) - make_interval(mins => m), kind, 0, 2, 2, 2
    FROM generate_series(1, 1440) AS m, unnest(ARRAY['single_lead_enrichment', 'email_validation']) AS kind
    ON CONFLICT DO NOTHING
"""


def run(scale: Scale) -> list[Figure]:
    """Make jobs, then read lists among many."""
    wide = "10000000 per minute"
    with run_installation(api_limit=wide, tenant_limit=wide) as installation:
        tenant = add_client(installation, "acme")
        token = add_person(installation, tenant, "ann@acme.example")
        url = installation.start_web()
        used = _processor(installation)
        made, seconds = asyncio.run(create_jobs(url, token, scale.pick(MADE, 300)))
        used = {who: now - used[who] for who, now in _processor(installation).items()}
        paced, behind = asyncio.run(create_paced(url, token, scale.pick(MADE, 300)))
        fill(installation, tenant, scale.pick(JOBS, 20_000))
        lists = asyncio.run(read(url, token, list_queries(), scale.pick(READS, 40)))
        figures = asyncio.run(read(url, token, ["/metrics?window=86400"], scale.pick(READS, 40)))
    return [
        Figure(
            "jobs_made",
            len(made) / seconds,
            "jobs/s",
            target=Target(300, "least"),
            notes={
                "at_once": AT_ONCE,
                "p50_ms": _ms(made, 0.5),
                "max_ms": _ms(made, 1),
                # All that were made, those that are not timed too: what a busier machine changes least.
                "processor_ms": {
                    who: round(seconds * 1e3 / (len(made) + 2 * AT_ONCE), 2)
                    for who, seconds in used.items()
                },
            },
        ),
        Figure("jobs_made_p99", _ms(made, 0.99), "ms", target=Target(100, "most")),
        Figure(
            "jobs_made_at_pace_p99",
            _ms(paced, 0.99),
            "ms",
            target=Target(100, "most"),
            notes={
                "jobs_a_second": PACE,
                "p50_ms": _ms(paced, 0.5),
                "max_ms": _ms(paced, 1),
                "most_at_once": behind,
            },
        ),
        Figure(
            "job_list_p99",
            _ms(lists, 0.99),
            "ms",
            target=Target(100, "most"),
            notes={"jobs": scale.pick(JOBS, 20_000), "readers": READERS, "p50_ms": _ms(lists, 0.5)},
        ),
        Figure(
            "job_metrics_p99",
            _ms(figures, 0.99),
            "ms",
            target=Target(100, "most"),
            notes={"p50_ms": _ms(figures, 0.5)},
        ),
    ]


def _processor(installation: Installation) -> dict[str, float]:
    """Return the processor seconds that the web's processes and the database's sessions have used so far."""
    web = next(process for process in installation.supervisor.processes if process.name == "web")
    return {
        "web": sum(map(processor_seconds, children_of(web.pid))),
        "database": sum(map(processor_seconds, children_of(installation.postgres.pid))),
    }


def _ms(took: list[float], share: float) -> float:
    return round(percentile(took, share) * 1e3, 1)


def list_queries() -> list[str]:
    """The questions that the dashboard and programs ask."""
    return [
        "",
        "?counts=true",
        "?status=dead_letter",
        "?status=completed&type=batch_lead_enrichment",
        "?tag=vip&limit=100",
        "?priority=1&status=pending",
        "?createdAfter=2000-01-01T00:00:00Z&status=completed",
    ]


def fill(installation: Installation, tenant: UUID, jobs: int) -> None:
    """Put many jobs into the table, and a day's figures beside them.

    Without the triggers: in one transaction each row would update the same row of figures and send a notice; and each row's
    client would be looked up a million times. Secondary indexes are made anew from what is there.
    """
    with installation.owner.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '256MB'")
        indexes = connection.execute(text(_SECONDARY)).all()
        for name, _ in indexes:
            connection.exec_driver_sql(f"DROP INDEX {name}")
        connection.execute(text(_MANY), {"jobs": jobs, "tenant": tenant})
        for _, made_by in indexes:
            connection.exec_driver_sql(made_by)
        connection.execute(text(_FIGURES), {"tenant": tenant})
    with installation.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE jobs")


async def create_jobs(url: str, token: str, jobs: int) -> tuple[list[float], float]:
    """Make jobs, fifty at once; return the seconds of each and of all."""
    numbers, skip = iter(range(jobs + 2 * AT_ONCE)), 2 * AT_ONCE
    took: list[float] = []
    ends: list[float] = []

    async def work() -> None:
        connection = await Connection.open(url, token)
        for n in numbers:
            started = time.perf_counter()
            status, body = await connection.post(PATH, _job(n))
            ends.append(time.perf_counter())
            took.append(ends[-1] - started)
            assert status == 202, body
        connection.close()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    # The first are not counted: new processes load code.
    return took[skip:], ends[-1] - ends[skip - 1]


async def create_paced(url: str, token: str, jobs: int) -> tuple[list[float], int]:
    """Make `PACE` jobs a second; return the seconds of each from its moment on, and how many were under way at most."""
    took: list[float] = []
    under_way = most = 0
    async with _session(token) as session:

        async def make(n: int, moment: float) -> None:
            nonlocal under_way, most
            await asyncio.sleep(moment - time.perf_counter())
            under_way += 1
            most = max(most, under_way)
            await _make(session, url, n)
            under_way -= 1
            took.append(time.perf_counter() - moment)

        started = time.perf_counter() + 0.1
        await asyncio.gather(*(make(n, started + n / PACE) for n in range(jobs)))
    return took, most


def _job(n: int) -> dict[str, object]:
    lead = {"leadId": str(n), "inputData": {"email": f"lead{n}@company{n % 500}.example"}}
    return {"type": "single_lead_enrichment", "payload": lead, "tags": ["bench"]}


async def _make(session: aiohttp.ClientSession, url: str, n: int) -> None:
    async with session.post(url + PATH, json=_job(n)) as answer:
        assert answer.status == 202, await answer.text()
        await answer.read()


def _session(token: str) -> aiohttp.ClientSession:
    headers = {"Authorization": f"Bearer {token}"}
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers)


async def read(url: str, token: str, queries: list[str], reads: int) -> list[float]:
    """Ask each question so often; return the seconds of each request."""
    asked = iter([query for _ in range(reads) for query in queries])

    async def ask(session: aiohttp.ClientSession) -> bool:
        query = next(asked, None)
        if query is None:
            return False
        async with session.get(url + PATH + query) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()
        return True

    took, _ = await _timed(token, ask, READERS, skip=4 * READERS)
    return took


async def _timed(
    token: str, act: Callable[[aiohttp.ClientSession], Awaitable[bool]], at_once: int, *, skip: int
) -> tuple[list[float], float]:
    """Act until there is nothing left; the first `skip` are not counted: new processes load code and connect."""
    took: list[float] = []
    ends: list[float] = []
    async with _session(token) as session:

        async def work() -> None:
            while True:
                started = time.perf_counter()
                if not await act(session):
                    return
                took.append(time.perf_counter() - started)
                ends.append(time.perf_counter())

        await asyncio.gather(*(work() for _ in range(at_once)))
    counted = took[skip:]
    return counted, ends[-1] - ends[skip - 1]
