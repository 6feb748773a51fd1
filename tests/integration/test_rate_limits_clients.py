"""Both clients when Redis is away, slow, or has forgotten the scripts: they fail closed and come back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from devtools.redis_server import RedisServer
from routing.rate_limits import AsyncLimiter, KeyLimits, Limiter, LimitsUnavailable, name_pool

POOL = name_pool("p", ["aa"])


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path, persistent=False) as server:
        yield server


def test_without_redis_nothing_is_granted(own_server: RedisServer) -> None:
    limiter = Limiter.connect(own_server.url)
    limiter.register(KeyLimits("aa"))
    limiter.define_pool(POOL)
    own_server.kill()
    with pytest.raises(LimitsUnavailable) as caught:
        limiter.reserve(POOL)
    assert caught.value.retry_after == 1
    own_server.resume()
    assert limiter.reserve(POOL).unregistered == ("aa",)
    limiter.close()


def test_on_a_loop_it_is_the_same(own_server: RedisServer) -> None:
    async def run() -> None:
        limiter = AsyncLimiter.connect(own_server.url)
        assert (await limiter.reserve(POOL)).unregistered == ("aa",)
        own_server.kill()
        with pytest.raises(LimitsUnavailable):
            await limiter.reserve(POOL)
        await limiter.close()

    asyncio.run(run())


def test_scripts_that_redis_has_forgotten_are_sent_again(redis_url: str) -> None:
    limiter = Limiter.connect(redis_url)
    limiter.register(KeyLimits("aa"))
    limiter.define_pool(POOL)
    with redis.Redis.from_url(redis_url) as client:
        client.script_flush()
    assert len(limiter.reserve(POOL).slots) == 1
    limiter.close()


def test_a_full_redis_fails_closed(own_server: RedisServer) -> None:
    limiter = Limiter.connect(own_server.url)
    with own_server.connect() as client:
        client.config_set("maxmemory", "1")
    with pytest.raises(LimitsUnavailable):
        limiter.register(KeyLimits("aa"))
    limiter.close()
