"""Reservations a second that the limiter in Redis gives one process, one at a time and 64 at once.

Four keys of 125 ms and 165 per 30 s in one pool; the limiter's clock is moved on by hand, as fast as the limits fill up,
so that every reservation is granted and takes the whole path through spacing, window and quota. The key pool of a worker
asks in batches.
"""

import time

from bench.figures import Figure, Scale, Target
from bench.installation import run_installation
from routing.rate_limits import KeyLimits, Limiter, LimitPolicy, PriorUse, Window, prepare_pool

KEYS = 4
BATCH = 64
#: What 165 per 30 s comes to, with the window's margin.
STEP_MS = 30_075 / 165 / KEYS


class Unused:
    """A ledger of keys that were never used."""

    def begin_use(self, fingerprint: str) -> PriorUse:  # noqa: ARG002 - the ledger's interface
        """Say so."""
        return PriorUse(None, 0)


def run(scale: Scale) -> list[Figure]:
    """Reserve for a few seconds each way."""
    seconds = scale.pick(5, 1)
    with run_installation() as installation:
        one = measure(installation.redis.url_of(2), 1, seconds)
        batched = measure(installation.redis.url_of(3), BATCH, seconds)
    notes = {"keys": KEYS, "batch": BATCH}
    return [
        Figure("reservations_one", one, "reservations/s"),
        Figure(
            "reservations_batched",
            batched,
            "reservations/s",
            one,
            "one at a time",
            Target(10_000),
            notes,
        ),
    ]


def measure(url: str, batch: int, seconds: float) -> float:
    """Return the reservations a second in batches of `batch`."""
    limiter = Limiter.connect(url, LimitPolicy())
    windows, daily = (Window(165, 30_000),), 1_000_000_000
    keys = [KeyLimits(f"key{n}", 125, windows, daily) for n in range(KEYS)]
    pool = prepare_pool(limiter, "bench", keys, Unused())
    now, granted = time.time() * 1e3, 0
    started = time.perf_counter()
    while (took := time.perf_counter() - started) < seconds:
        now += STEP_MS * batch
        reserved = limiter.reserve(pool, batch, horizon_ms=60_000, now_ms=int(now))
        granted += sum(slot.calls for slot in reserved.slots)
    limiter.close()
    return granted / took
