"""Counting requests in one exchange: the counter is that of `limits`, in Redis and in memory."""

import time
from uuid import uuid4

import pytest
from limits import parse
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import FixedWindowRateLimiter

from app.http.counting import count_up


@pytest.fixture(params=["redis", "memory"])
def store(request: pytest.FixtureRequest, redis_url: str) -> Storage:
    return RedisStorage(redis_url) if request.param == "redis" else MemoryStorage()


def test_it_counts_on_where_others_have_begun(store: Storage) -> None:
    limit, name = parse("3 per 20 seconds"), str(uuid4())
    strategy = FixedWindowRateLimiter(store)
    assert strategy.hit(limit, "tenant", name)
    count, seconds = count_up(strategy, limit, "tenant", name)
    assert count == 2
    assert 1 <= seconds <= 20
    assert strategy.hit(limit, "tenant", name)
    assert not strategy.hit(limit, "tenant", name)
    assert count_up(strategy, limit, "tenant", name)[0] == 5
    assert strategy.get_window_stats(limit, "tenant", name).remaining == 0


def test_a_window_ends(store: Storage) -> None:
    limit, name = parse("3 per 1 second"), str(uuid4())
    strategy = FixedWindowRateLimiter(store)
    before, count = 0, count_up(strategy, limit, name)[0]
    ends = time.monotonic() + 30
    while count > before and time.monotonic() < ends:
        before, count = count, count_up(strategy, limit, name)[0]
    assert before > 1
    assert count == 1


def test_a_counter_without_an_end_gets_one(redis_url: str) -> None:
    """As after a process died between the two steps in which others count."""
    store, limit, name = RedisStorage(redis_url), parse("3 per 20 seconds"), str(uuid4())
    key = store.prefixed_key(limit.key_for(name))
    store.get_connection().set(key, 7)
    count, seconds = count_up(FixedWindowRateLimiter(store), limit, name)
    assert (count, seconds) == (8, 20)
    assert store.get_connection().ttl(key) in (19, 20)
