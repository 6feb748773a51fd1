"""A hundred clients, each on a lane of its own with two keys at 250 ms, and the shared lane, on one machine for 90 s.

A few processes serve the lanes, fewer than 50 queues each. All keys together allow some 800 calls a second; counted is
from the moment at which the last of them is in use. The sandbox judges at arrival, without any margin. What a further
lane costs in memory is the growth of such a process over one that serves a single lane and has worked as well.
"""

import time
from statistics import median
from uuid import UUID

from sqlalchemy import text

from app.db.scope import system_scope
from app.jobs import release as ledger
from bench.clients import add_client, add_provider_key, is_completed, route_client, submit_rows
from bench.figures import Figure, Scale, Target
from bench.installation import Installation, run_installation, wait_for
from bench.keys import PER_30S, allowed_calls
from bench.proc import children_of, processor_seconds, resident_mb
from devtools.processes import Process
from routing import queues

LANES, LANES_EACH, SLOTS = 100, 34, 128
KEYS_EACH, SPACING_MS = 2, 250
SECONDS = 90
#: So that lanes that share a process share its slots as well: two chunks keep two keys busy.
IN_FLIGHT = 2
START_SECONDS = 120
PROBES = 20
_CAP = text("UPDATE tenants SET max_in_flight = :n")


def run(scale: Scale) -> list[Figure]:
    """Let all lanes work at once and read the provider's record."""
    seconds, lanes = scale.pick(SECONDS, 10), scale.pick(LANES, 10)
    with run_installation(prompt_sandbox=True) as installation:
        alone_mb = measure_alone(installation)
        tenants = [add_lane(installation, f"lane-{n}") for n in range(lanes)]
        tenants.append(add_keyed(installation, "shared"))
        with installation.owner.begin() as connection:
            connection.execute(_CAP, {"n": IN_FLIGHT})
        workers = start_workers(installation, lanes)
        for number, tenant in enumerate(tenants):
            submit_rows(installation, tenant, 3 * KEYS_EACH * (seconds + 30) * 2, f"l{number}-")
        keys = KEYS_EACH * len(tenants)
        installation.sandbox.reset()
        installation.dispatch()
        sandbox = installation.sandbox
        # Not often: an answer keeps the sandbox from its calls for milliseconds.
        wait_for(
            "All keys", lambda: len(sandbox.summary()["keys"]) == keys, START_SECONDS, every=0.5
        )
        begun, before = time.monotonic() * 1_000, processor_use(installation, workers)
        release_ms = watch_releases(installation, seconds)
        after = processor_use(installation, workers)
        grown = [resident_mb(worker.pid) - alone_mb for worker in workers]
        # Reading thousands of calls stops the sandbox for so long that others would seem to come too early.
        for worker in workers:
            installation.stop(worker)
        calls, summary = sandbox.calls(), sandbox.summary()
    within = [call for call in calls if 0 <= call["mono_ms"] - begun < seconds * 1_000]
    good = sum(not call["violation"] for call in within)
    each = {call["key"]: 0 for call in calls}
    for call in within:
        each[call["key"]] += not call["violation"]
    allowed = allowed_calls(SPACING_MS, seconds)
    worst = max(key["worst_early_ms"] for key in summary["keys"].values())
    return [
        Figure(
            "lanes_used",
            good,
            "calls",
            allowed * keys,
            "what the limits allow, exactly",
            Target(0.98, of="ratio"),
            {
                "lanes": lanes,
                "processes": len(workers),
                "seconds": seconds,
                "calls_per_second": round(good / seconds, 1),
                "worst_key": round(min(each.values()) / allowed, 3),
                "processor_seconds": {k: round(after[k] - before[k], 1) for k in after},
            },
        ),
        Figure(
            "lanes_violations",
            summary["violations"],
            "calls",
            target=Target(0, "most"),
            notes={"of_calls": len(calls), "worst_early_ms": worst},
        ),
        Figure(
            "lanes_memory_each",
            max(grown) / max(1, min(lanes, LANES_EACH) - 1),
            "MB",
            target=Target(3, "most"),
            notes={"one_lane_mb": round(alone_mb), "grown_mb": [round(mb, 1) for mb in grown]},
        ),
        Figure(
            "lanes_release",
            median(release_ms),
            "ms",
            notes={"max_ms": round(max(release_ms), 1), "looks": len(release_ms)},
        ),
    ]


def lane_of(slug: str) -> str:
    """Return the name of a client's lane."""
    return f"{queues.DEDICATED_PREFIX}client-{slug}"


def add_keyed(installation: Installation, slug: str) -> UUID:
    """Add a client with its keys."""
    tenant = add_client(installation, slug)
    for number in range(KEYS_EACH):
        secret = f"bench-{slug}-key-{number}"
        add_provider_key(
            installation, secret, tenant_id=tenant, spacing_ms=SPACING_MS, per_30s=PER_30S
        )
    return tenant


def add_lane(installation: Installation, slug: str) -> UUID:
    """Add a client with its keys and a lane of its own."""
    tenant = add_keyed(installation, slug)
    route_client(installation, tenant, lane_of(slug))
    return tenant


def measure_alone(installation: Installation) -> float:
    """Return the memory of a process that serves one lane, when it has verified a list."""
    tenant = add_lane(installation, "alone")
    worker = installation.start_worker(lane_of("alone"), "threads", SLOTS, name="alone")
    job = submit_rows(installation, tenant, 80, "alone")
    installation.dispatch()
    wait_for("The lane alone", lambda: is_completed(installation, job), START_SECONDS)
    used = resident_mb(worker.pid)
    installation.stop(worker)
    return used


def start_workers(installation: Installation, lanes: int) -> list[Process]:
    """Start the processes, the first of which serves the shared lane as well."""
    names = [queues.VERIFICATION, *(lane_of(f"lane-{n}") for n in range(lanes))]
    return [
        installation.start_worker(
            ",".join(names[first : first + LANES_EACH]), "threads", SLOTS, name=f"lanes-{first}"
        )
        for first in range(0, len(names), LANES_EACH)
    ]


def processor_use(installation: Installation, workers: list[Process]) -> dict[str, float]:
    """Return the processor time that each part has used so far."""
    postgres = installation.postgres.pid
    use = {
        "postgres": sum(map(processor_seconds, [postgres, *children_of(postgres)])),
        "redis": processor_seconds(installation.redis.pid),
        "sandbox": processor_seconds(installation.sandbox.pid),
    }
    return use | {worker.name: processor_seconds(worker.pid) for worker in workers}


def watch_releases(installation: Installation, seconds: int) -> list[float]:
    """Let the time pass, and return what a release under this load takes, in ms, taken back each time."""
    took = []
    for _ in range(PROBES):
        time.sleep(seconds / PROBES)
        with system_scope(installation.app) as connection:
            started = time.perf_counter()
            ledger.release(connection, limit=1, unattended_window=4, presence_seconds=15)
            took.append((time.perf_counter() - started) * 1_000)
            connection.rollback()
    return took
