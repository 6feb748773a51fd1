"""How much of what a client's keys allow is used, and that not one limit is broken.

Two keys at 250 ms and two at 125 ms, each 165 per 30 s; two worker processes share them for 90 s. The allowance is
computed exactly: a caller that sends each call at the very moment at which the provider's limits let it in. The sandbox
judges at arrival, to the microsecond, without any margin.
"""

import time
from collections import deque

from bench.clients import add_client, add_provider_key, submit_rows
from bench.figures import Figure, Scale, Target
from bench.installation import run_installation, wait_for
from routing import queues

SPACINGS_MS = (250, 250, 125, 125)
PER_30S = 165
WINDOW_MS = 30_000
SECONDS = 90


def allowed_calls(spacing_ms: float, seconds: float) -> int:
    """Return how many calls one key lets in during `seconds` from its first call on."""
    latest: deque[float] = deque(maxlen=PER_30S)
    at, calls = 0.0, 0
    while at < seconds * 1_000:
        latest.append(at)
        calls += 1
        at += spacing_ms
        if len(latest) == PER_30S:
            at = max(at, latest[0] + WINDOW_MS)
    return calls


def run(scale: Scale) -> list[Figure]:
    """Let two workers call for 90 s and read the provider's record."""
    seconds = scale.pick(SECONDS, 20)
    allowed = sum(allowed_calls(spacing, seconds) for spacing in SPACINGS_MS)
    with run_installation(prompt_sandbox=True) as installation:
        tenant = add_client(installation, "acme")
        for number, spacing in enumerate(SPACINGS_MS):
            secret = f"bench-key-{number}-{spacing}"
            add_provider_key(
                installation, secret, tenant_id=tenant, spacing_ms=spacing, per_30s=PER_30S
            )
        for name in ("first", "second"):
            installation.start_worker(queues.VERIFICATION, "threads", 16, name=name)
        submit_rows(installation, tenant, 2 * allowed)
        installation.dispatch()
        sandbox = installation.sandbox
        wait_for("The first call", lambda: bool(sandbox.summary()["calls"]), 30, every=0.01)
        time.sleep(seconds + 0.5)
        calls, summary = sandbox.calls(), sandbox.summary()
    begun = calls[0]["mono_ms"]
    within = [call for call in calls if call["mono_ms"] < begun + seconds * 1_000]
    good = sum(not call["violation"] for call in within)
    worst = max(key["worst_early_ms"] for key in summary["keys"].values())
    notes = {"seconds": seconds, "calls_per_second": round(good / seconds, 2)}
    return [
        Figure(
            "keys_used",
            good,
            "calls",
            allowed,
            "what the limits allow, exactly",
            Target(0.99, of="ratio"),
            notes,
        ),
        Figure(
            "keys_violations",
            summary["violations"],
            "calls",
            target=Target(0, "most"),
            notes={"of_calls": len(calls), "worst_early_ms": worst},
        ),
    ]
