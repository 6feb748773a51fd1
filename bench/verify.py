"""Verification without limits: 50,000 addresses, a key without limits, the sandbox at full speed, one worker process.

Ours: from release to the job's end, every row recorded in PostgreSQL. Baselines against the same sandbox: a bare aiohttp
loop of 64 calls at once, which records nothing; plain Celery and plain dramatiq with one message an e-mail on 64 threads,
each task storing its answer as one row, from the first message published to the last call, the worker waiting for it as
ours does. The same without storing stands in the notes. Ours and the bare loop take turns; the best of three counts, for
both: what else a machine does only slows.
"""

import time
from collections.abc import Callable
from uuid import UUID

from bench.baselines.one_call import TABLE
from bench.baselines.running import plain_program, publish, publisher
from bench.clients import add_client, add_provider_key, is_completed, submit_rows
from bench.figures import Figure, Scale, Target
from bench.installation import Installation, run_installation, wait_for
from bench.proc import processor_seconds
from devtools.supervisor import run as run_to_end
from routing import queues

ROWS = 50_000
ROUNDS = 3
PLAIN_ROUNDS = 2
KEY = "bench-unlimited-key"
SECONDS = 600
PLAIN_CALLS = {"celery": 4_000, "dramatiq": 8_000}


def run(scale: Scale) -> list[Figure]:
    """Measure ours, then each baseline."""
    rows = scale.pick(ROWS, 5_000)
    with run_installation() as installation:
        tenant = add_client(installation, "acme")
        add_provider_key(installation, KEY, tenant_id=tenant)
        ours, bare = [], []
        for number in range(scale.pick(ROUNDS, 1)):
            ours.append(verify_all(installation, tenant, rows, f"r{number}-"))
            bare.append(run_bare(installation, rows))
        plain = {
            (kind, stored): max(
                run_plain(installation, kind, calls, stored=stored)
                for _ in range(scale.pick(PLAIN_ROUNDS, 1))
            )
            for kind, calls in PLAIN_CALLS.items()
            for stored in (True, False)
        }
    (best, spent), (bare_best, bare_spent) = max(ours), max(bare)
    notes = {
        "rows": rows,
        "ours": [round(rate) for rate, _ in ours],
        "bare": [round(rate) for rate, _ in bare],
        # Steadier than rates where other work shares the machine: the worker does all of the loop's work in this time.
        "processor_us_an_address": round(spent),
        "processor_us_a_bare_call": round(bare_spent),
    }
    unit, bare_name = "addresses/s", "bare aiohttp loop, 64 at once"
    return [
        Figure("verify_vs_aiohttp", best, unit, bare_best, bare_name, _least(0.6), notes),
        Figure(
            "verify_vs_celery",
            best,
            unit,
            plain["celery", True],
            "plain Celery, a task an e-mail",
            _least(8),
            _without_storing(best, plain["celery", False]),
        ),
        Figure(
            "verify_vs_dramatiq",
            best,
            unit,
            plain["dramatiq", True],
            "dramatiq, a message an e-mail",
            _least(2),
            _without_storing(best, plain["dramatiq", False]),
        ),
    ]


def _without_storing(ours: float, theirs: float) -> dict[str, float]:
    return {"without_storing": round(theirs), "ratio_to_that": round(ours / theirs, 2)}


def _least(ratio: float) -> Target:
    return Target(ratio, of="ratio")


def verify_all(
    installation: Installation, tenant: UUID, rows: int, prefix: str
) -> tuple[float, float]:
    """Verify `rows` addresses with one worker of 64 slots; return (addresses a second, processor µs each)."""
    worker = installation.start_worker(queues.VERIFICATION, "threads", 64, name="verification")
    installation.sandbox.reset()
    warm = submit_rows(installation, tenant, 100, f"{prefix}warm")
    installation.dispatch()
    wait_for("The first hundred", lambda: is_completed(installation, warm), 60)
    job = submit_rows(installation, tenant, rows, prefix)
    started, spent = time.perf_counter(), processor_seconds(worker.pid)
    installation.dispatch()
    wait_for("Verification", lambda: is_completed(installation, job), SECONDS, every=0.1)
    rate = rows / (time.perf_counter() - started)
    spent = processor_seconds(worker.pid) - spent
    _each_once(installation, rows + 100)
    installation.stop(worker)
    return rate, spent / rows * 1e6


def _each_once(installation: Installation, rows: int) -> None:
    summary = installation.sandbox.summary()
    assert summary["asked"]["extra_calls"] == 0, "an address was asked about twice"
    assert summary["calls"] == rows


def run_bare(installation: Installation, calls: int) -> tuple[float, float]:
    """Make as many calls with a bare loop in a process of its own; return (calls a second, processor µs each)."""
    installation.sandbox.reset()
    arguments = ["-m", "bench.baselines.aiohttp_loop", str(calls)]
    loop = plain_program(installation, "aiohttp", arguments, BENCH_KEY=KEY)
    rate, spent = run_to_end(loop, SECONDS).split()[-2:]
    return float(rate), float(spent)


def run_plain(installation: Installation, kind: str, calls: int, *, stored: bool) -> float:
    """Publish to a waiting plain worker; return the calls a second."""
    installation.sandbox.reset()
    with installation.redis.connect(1) as client:
        client.flushdb()
    with installation.owner.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS plain_results")
        connection.exec_driver_sql(TABLE)
    more = {"BENCH_KEY": KEY}
    if stored:
        url = installation.postgres.owner_url
        more["BENCH_DATABASE"] = url.replace("postgresql+psycopg2", "postgresql")
    consumer = installation.supervisor.start(plain_program(installation, kind, **more))
    publish(installation, kind, "warm", 100, **more)
    wait_for(f"The {kind} worker", _has_called(installation, 100), 60)
    started = time.perf_counter()
    sender = installation.supervisor.start(publisher(installation, kind, "lead", calls, **more))
    wait_for(kind, _has_called(installation, 100 + calls), SECONDS, every=0.1)
    rate = calls / (time.perf_counter() - started)
    installation.stop(sender)
    installation.stop(consumer)
    return rate


def _has_called(installation: Installation, calls: int) -> Callable[[], bool]:
    return lambda: bool(installation.sandbox.summary()["calls"] >= calls)
