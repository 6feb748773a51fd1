"""How often one person may test keys from the command line: a test is a call that costs money, so a script must not loop over it.

The same limit as over the API and on the pages (`app/http/limits.py`), counted in the same Redis, by the login's name.
"""

import math
import time

import structlog
from limits import parse
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter
from redis.exceptions import RedisError

from app.errors import TooManyRequests

log = structlog.get_logger(__name__)
KEY_TEST_LIMIT = "10 per minute"
_TIMEOUT_SECONDS = 2.0


def count_key_test(redis_url: str, person: str) -> None:
    """Count a test of a key by a person. Raises `TooManyRequests` with the seconds to wait.

    Without Redis nothing is counted: the test reserves its call there, or says that it can't.
    """
    counted = (parse(KEY_TEST_LIMIT), "key_test", person)
    try:
        storage = storage_from_string(
            redis_url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
        )
        limiter = FixedWindowRateLimiter(storage)
        if limiter.hit(*counted):
            return
        ends = limiter.get_window_stats(*counted).reset_time
    except (RedisError, OSError) as error:
        log.warning("key_test_not_limited", error=type(error).__name__)
        return
    wait = max(1, math.ceil(ends - time.time()))
    raise TooManyRequests(
        f"A person may test keys {KEY_TEST_LIMIT}. Wait {wait} s and try again.", retry_after=wait
    )
