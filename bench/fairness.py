"""One client's 200,000 rows first, then ten clients of 100 rows each on the same shared lane.

All eleven share the platform's keys: fourteen at 125 ms, some 110 calls a second, chosen so that the run takes under a
minute. Each small job's time is compared with the time that a client needs alone with an equal share of these keys,
measured in the same run: one client on a worker and a key of its own whose spacing allows an eleventh. For comparison
plain Celery, one task an e-mail and as many calls a second, first come first served; with a big list of 1,000 rows, since
with 200,000 the small ones would wait for half an hour.
"""

import time
from uuid import UUID

from sqlalchemy import text

from bench.baselines.running import plain_program, publish
from bench.clients import add_client, add_provider_key, is_completed, submit_rows
from bench.figures import Figure, Scale, Target
from bench.installation import Installation, run_installation, wait_for
from routing import queues

BIG_ROWS = 200_000
SMALL_JOBS, SMALL_ROWS = 10, 100
KEYS, SPACING_MS = 14, 125
#: What the limiter keeps to on top of the spacing.
MARGIN_MS = 3
SHARE_SPACING_MS = round((SPACING_MS + MARGIN_MS) / KEYS * (SMALL_JOBS + 1)) - MARGIN_MS
PLAIN_BIG_ROWS = 1_000
PLAIN_THREADS = 64
SECONDS = 300
_TOOK = text(
    "SELECT extract(epoch FROM finished_at - created_at)::float8 FROM jobs WHERE id = :job"
)


def run(scale: Scale) -> list[Figure]:
    """Measure a client alone, then the crowd, then the same on plain Celery."""
    with run_installation(prompt_sandbox=True) as installation:
        rate = 1_000 / (SPACING_MS + MARGIN_MS) * KEYS
        alone = measure_alone(installation)
        small, violations = measure_crowd(installation, scale.pick(BIG_ROWS, 20_000))
        plain = measure_plain(installation, rate)
    slowest = max(small)
    return [
        Figure(
            "fairness_small_jobs",
            slowest,
            "s",
            alone,
            "alone with an equal share",
            Target(2, "most", "ratio"),
            {
                "each_s": [round(seconds, 2) for seconds in sorted(small)],
                "calls_per_second": round(rate, 1),
                "violations": violations,
                "plain_celery_slowest_s": round(max(plain), 2),
                "plain_celery_big_rows": PLAIN_BIG_ROWS,
                "plain_celery_slowest_s_after_200000_rows": round(
                    max(plain) + (BIG_ROWS - PLAIN_BIG_ROWS) / rate
                ),
            },
        )
    ]


def measure_alone(installation: Installation) -> float:
    """Return the seconds of 100 rows for a client that is alone, with a key that allows an eleventh of the rate."""
    tenant = add_client(installation, "alone")
    add_provider_key(installation, "bench-share-key", tenant_id=tenant, spacing_ms=SHARE_SPACING_MS)
    worker = installation.start_worker(queues.VERIFICATION, "threads", 64, name="alone")
    # The first hundred load code and make connections.
    for _ in range(2):
        job = submit_rows(installation, tenant, SMALL_ROWS, "alone")
        installation.dispatch()
        wait_for("The client alone", lambda job=job: is_completed(installation, job), 120)  # type: ignore[misc]
    took = _took(installation, job)
    installation.stop(worker)
    return took


def measure_crowd(installation: Installation, big_rows: int) -> tuple[list[float], int]:
    """Return the seconds of each small job that came after the big one, and the broken limits."""
    for number in range(KEYS):
        add_provider_key(installation, f"bench-shared-key-{number}", spacing_ms=SPACING_MS)
    whale = add_client(installation, "whale")
    small = [add_client(installation, f"small-{n}") for n in range(SMALL_JOBS)]
    installation.start_worker(queues.VERIFICATION, "threads", 64, name="shared")
    submit_rows(installation, whale, big_rows, "whale")
    installation.dispatch()
    sandbox = installation.sandbox
    sandbox.reset()
    wait_for("The big list", lambda: bool(sandbox.summary()["calls"] > 500), 60)
    jobs = [submit_rows(installation, tenant, SMALL_ROWS, "small") for tenant in small]
    installation.dispatch()
    for job in jobs:
        wait_for("A small list", lambda job=job: is_completed(installation, job), SECONDS)  # type: ignore[misc]
    return [_took(installation, job) for job in jobs], int(sandbox.summary()["violations"])


def _took(installation: Installation, job: UUID) -> float:
    with installation.owner.connect() as connection:
        return float(connection.execute(_TOOK, {"job": job}).scalar_one())


def measure_plain(installation: Installation, rate: float) -> list[float]:
    """Return the seconds of each small list on plain Celery, published after the big one."""
    for process in list(installation.supervisor.processes):
        installation.stop(process)
    sandbox = installation.sandbox
    sandbox.put_keys({"key": "bench-plain-key"})
    sandbox.reset()
    # Paced by what a call takes: so many threads, so many calls a second.
    sandbox.set_mode(latency_ms=[PLAIN_THREADS / rate * 1e3] * 2)
    more = {"BENCH_KEY": "bench-plain-key"}
    publish(installation, "celery", "whale", PLAIN_BIG_ROWS, **more)
    submitted = time.monotonic()
    for number in range(SMALL_JOBS):
        publish(installation, "celery", f"small{number}-", SMALL_ROWS, **more)
    installation.supervisor.start(plain_program(installation, "celery", **more))
    calls = PLAIN_BIG_ROWS + SMALL_JOBS * SMALL_ROWS
    wait_for("Plain Celery", lambda: bool(sandbox.summary()["calls"] >= calls), SECONDS, every=0.2)
    ends: dict[str, float] = {}
    for call in sandbox.calls():
        name = call["email"].partition("-")[0]
        ends[name] = call["mono_ms"] / 1e3
    return [ends[f"small{number}"] - submitted for number in range(SMALL_JOBS)]
