"""Verification without limits: 50,000 addresses, a key without limits, the sandbox at full speed, one worker process.

Ours: from release to the job's end, every row recorded in PostgreSQL. Baselines against the same sandbox, recording
nothing: a bare aiohttp loop of 64 calls at once; plain Celery and plain dramatiq with one message an e-mail on 64
threads, from the first message published to the last call, the worker waiting for it, as ours does.
"""

import time
from collections.abc import Callable
from uuid import UUID

from bench.clients import add_client, add_provider_key, is_completed, submit_rows
from bench.figures import Figure, Scale, Target
from bench.installation import Installation, run_installation, wait_for
from devtools.processes import Process
from devtools.supervisor import run as run_to_end
from routing import queues

ROWS = 50_000
KEY = "bench-unlimited-key"
SECONDS = 600


def run(scale: Scale) -> list[Figure]:
    """Measure ours, then each baseline."""
    rows = scale.pick(ROWS, 5_000)
    with run_installation() as installation:
        tenant = add_client(installation, "acme")
        add_provider_key(installation, KEY, tenant_id=tenant)
        ours = verify_all(installation, tenant, rows)
        bare = run_bare(installation, rows)
        celery = run_plain(installation, "celery", _celery(), scale.pick(5_000, 1_000))
        dramatiq = run_plain(installation, "dramatiq", _dramatiq(), scale.pick(10_000, 1_000))
    notes = {"rows": rows, "seconds": round(rows / ours, 2)}
    unit = "addresses/s"
    return [
        Figure(
            "verify_vs_aiohttp",
            ours,
            unit,
            bare,
            "bare aiohttp loop, 64 at once",
            _least(0.6),
            notes,
        ),
        Figure("verify_vs_celery", ours, unit, celery, "plain Celery, a task an e-mail", _least(8)),
        Figure(
            "verify_vs_dramatiq", ours, unit, dramatiq, "dramatiq, a message an e-mail", _least(2)
        ),
    ]


def _least(ratio: float) -> Target:
    return Target(ratio, of="ratio")


def verify_all(installation: Installation, tenant: UUID, rows: int) -> float:
    """Verify `rows` addresses with one worker of 64 slots; return the addresses a second."""
    worker = installation.start_worker(queues.VERIFICATION, "threads", 64, name="verification")
    warm = submit_rows(installation, tenant, 100, "warm")
    installation.dispatch()
    wait_for("The first hundred", lambda: is_completed(installation, warm), 60)
    job = submit_rows(installation, tenant, rows)
    started = time.perf_counter()
    installation.dispatch()
    wait_for("Verification", lambda: is_completed(installation, job), SECONDS)
    rate = rows / (time.perf_counter() - started)
    _each_once(installation, rows + 100)
    installation.stop(worker)
    return rate


def _each_once(installation: Installation, rows: int) -> None:
    summary = installation.sandbox.summary()
    assert summary["asked"]["extra_calls"] == 0, "an address was asked about twice"
    assert summary["calls"] == rows


def run_bare(installation: Installation, calls: int) -> float:
    """Make the same number of calls with a bare loop in a process of its own; return the calls a second."""
    installation.sandbox.reset()
    loop = _program(installation, "aiohttp", ["-m", "bench.baselines.aiohttp_loop", str(calls)])
    return float(run_to_end(loop, SECONDS).split()[-2])


def run_plain(installation: Installation, kind: str, worker: list[str], calls: int) -> float:
    """Publish to a waiting plain worker; return the calls a second."""
    installation.sandbox.reset()
    with installation.redis.connect(1) as client:
        client.flushdb()
    consumer = installation.supervisor.start(_program(installation, f"{kind}-worker", worker))
    _publish(installation, kind, 100)
    wait_for(f"The {kind} worker", _has_called(installation, 100), 60)
    started = time.perf_counter()
    publisher = _program(installation, kind, ["-m", "bench.baselines.publish", kind, str(calls)])
    installation.supervisor.start(publisher)
    wait_for(kind, _has_called(installation, 100 + calls), SECONDS, every=0.1)
    rate = calls / (time.perf_counter() - started)
    installation.stop(publisher)
    installation.stop(consumer)
    return rate


def _publish(installation: Installation, kind: str, calls: int) -> None:
    arguments = ["-m", "bench.baselines.publish", kind, str(calls)]
    run_to_end(_program(installation, kind, arguments), 60)


def _has_called(installation: Installation, calls: int) -> Callable[[], bool]:
    return lambda: bool(installation.sandbox.summary()["calls"] >= calls)


def _program(installation: Installation, name: str, arguments: list[str]) -> Process:
    return installation.make_python(
        name,
        arguments,
        BENCH_URL=installation.sandbox.url,
        BENCH_KEY=KEY,
        BENCH_REDIS=installation.redis.url_of(1),
    )


def _celery() -> list[str]:
    plain = [
        "-m",
        "celery",
        "-A",
        "bench.baselines.celery_app",
        "worker",
        "-P",
        "threads",
        "-c",
        "64",
    ]
    return [*plain, "--without-gossip", "--without-mingle"]


def _dramatiq() -> list[str]:
    return ["-m", "dramatiq", "bench.baselines.dramatiq_app", "--processes", "1", "--threads", "64"]
