"""The web's view of Redis: whether it answers, and how long its queues are. Never what a request depends on."""

import threading
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_SECONDS = 0.5
#: Asked at most this often, however many people poll.
FRESH_SECONDS = 1.0


class Broker:
    """One client and the last answer to "are you there". Thread-safe."""

    def __init__(self, url: str) -> None:
        self.client: redis.Redis = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            # Asked again a second later anyway; a page must not wait for several tries.
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._up = True

    def is_up(self) -> bool:
        """Return whether Redis answered within the last second or so.

        One thread asks, the others take the last answer: a Redis that went silent holds up one request, not all.
        """
        if time.monotonic() - self._asked > FRESH_SECONDS and self._lock.acquire(blocking=False):
            try:
                self._up = self._ping()
                self._asked = time.monotonic()
            finally:
                self._lock.release()
        return self._up

    def _ping(self) -> bool:
        try:
            return bool(self.client.ping())
        except (redis.RedisError, OSError):
            return False
