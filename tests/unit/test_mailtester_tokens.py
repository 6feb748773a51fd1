"""The token cache: one fetch a key, renewed in time, and what a refused token means."""

import asyncio

import pytest

from app.mailtester.tokens import TOKEN_SECONDS, TokenCache
from app.provider_errors import NotReady, Unauthorized, Unavailable


class Vendor:
    """Hands out numbered tokens, and holds them back until told."""

    def __init__(self) -> None:
        self.fetches = 0
        self.fails = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.now = 0.0

    async def fetch(self, key: str) -> str:
        self.fetches += 1
        await self.gate.wait()
        if self.fails:
            raise Unavailable("down")
        return f"{key}-{self.fetches}"

    def cache(self) -> TokenCache:
        return TokenCache(self.fetch, clock=lambda: self.now)


def test_many_waiters_share_one_fetch() -> None:
    async def run() -> None:
        vendor = Vendor()
        vendor.gate.clear()
        cache = vendor.cache()
        waiters = [asyncio.create_task(cache.prepare("k")) for _ in range(20)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        vendor.gate.set()
        results = await asyncio.gather(*waiters, return_exceptions=True)
        assert [r for r in results[1:] if r is not None] == []
        assert vendor.fetches == 1
        token = cache.ready("k")
        assert token is not None
        assert token.value == "k-1"

    asyncio.run(run())


def test_a_token_is_renewed_before_it_runs_out() -> None:
    async def run() -> None:
        vendor = Vendor()
        cache = vendor.cache()
        await cache.prepare("k")
        vendor.now = TOKEN_SECONDS - 1
        assert cache.ready("k") is not None
        vendor.now = TOKEN_SECONDS
        assert cache.ready("k") is None
        await cache.prepare("k")
        assert vendor.fetches == 2

    asyncio.run(run())


def test_a_failed_fetch_is_told_to_all_and_tried_again_next_time() -> None:
    async def run() -> None:
        vendor = Vendor()
        cache = vendor.cache()
        vendor.fails = True
        for _ in range(2):
            with pytest.raises(Unavailable):
                await cache.prepare("k")
        assert vendor.fetches == 2

    asyncio.run(run())


def test_a_refused_token_ran_out_or_never_worked() -> None:
    async def run() -> None:
        cache = Vendor().cache()
        await cache.prepare("k")
        token = cache.ready("k")
        assert token is not None
        with pytest.raises(Unauthorized):
            cache.refuse("k", token)
        assert cache.ready("k") is None
        await cache.prepare("k")
        token = cache.ready("k")
        assert token is not None
        token.has_worked = True
        with pytest.raises(NotReady):
            cache.refuse("k", token)
        await cache.prepare("k")
        with pytest.raises(NotReady):
            cache.refuse("k", token)
        assert cache.ready("k") is not None, "the renewed token stays"

    asyncio.run(run())


def test_a_token_is_not_printed() -> None:
    async def run() -> None:
        cache = Vendor().cache()
        await cache.prepare("long-secret")
        assert "long-secret" not in repr(cache.ready("long-secret"))
        assert "long-secret" not in repr(vars(cache))

    asyncio.run(run())
