"""Plain dramatiq, one message an e-mail, with its own defaults."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.baselines.one_call import verify

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_REDIS"]))  # type: ignore[no-untyped-call] # not typed by its authors


@dramatiq.actor(max_retries=0)
def verify_one(email: str) -> None:
    """Verify one address."""
    verify(email)
