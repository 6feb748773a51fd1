"""A hundred clients' lanes and the shared one, two keys at 250 ms each, for ten simulated minutes: what is left unused, and no call too early.

Three processes as in the benchmark `lanes`, which runs the whole installation for 90 s of real time; they share no key, so they are
simulated one after the other. See `bench.lane_process` for what is real here. Two thirds of the figure's time is Python's own: the simulated
minutes take as long as the machine needs, and change nothing of what comes out.
"""

import tempfile
import time
from pathlib import Path

from bench.figures import Figure, Scale, Target
from bench.keys import allowed_calls
from bench.lane_process import simulate
from bench.lanes import KEYS_EACH, LANES, LANES_EACH, SPACING_MS
from devtools.redis_server import RedisServer

SECONDS = 600


def run(scale: Scale) -> list[Figure]:
    """Simulate the processes and judge by the provider's own meter."""
    seconds, lanes = scale.pick(SECONDS, 30), scale.pick(LANES + 1, 10)
    names = [f"lane-{number}" for number in range(lanes)]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as home, RedisServer(Path(home), persistent=False) as redis:
        parts = [
            simulate(
                redis.url,
                names[first : first + LANES_EACH],
                keys_each=KEYS_EACH,
                spacing_ms=SPACING_MS,
                seconds=seconds,
                seed=first,
            )
            for first in range(0, lanes, LANES_EACH)
        ]
    good = [n for part in parts for n in part.calls.values()]
    early = [ms for part in parts for ms in part.early_ms]
    allowed = allowed_calls(SPACING_MS, seconds)
    return [
        Figure(
            "lanes_simulated_used",
            sum(good),
            "calls",
            allowed * KEYS_EACH * lanes,
            "what the limits allow, exactly",
            Target(0.98, of="ratio"),
            {
                "lanes": lanes,
                "processes": len(parts),
                "simulated_seconds": seconds,
                "worst_key": round(min(good) / allowed, 3),
                "took_seconds": round(time.perf_counter() - started),
            },
        ),
        Figure(
            "lanes_simulated_violations",
            len(early),
            "calls",
            target=Target(0, "most"),
            notes={"worst_early_ms": max(early, default=0.0)},
        ),
    ]
