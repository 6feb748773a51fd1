"""Answers that come later: the vendor's call to an address that only it knows, signed where the vendor signs."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import pytest
from aiohttp import web

from app.enrichment.lookup import Answer, Lookup
from app.enrichment.providers.apollo import Apollo
from app.enrichment.providers.clearbit import Clearbit
from app.enrichment.signatures import make_token, verify_clearbit, verify_token
from sandbox.process import RunningSandbox, run_sandbox

KEY = "sk_secret-key-of-the-tests"
TOKEN_KEY = b"t" * 32
Talk = Callable[[aiohttp.ClientSession, str, "asyncio.Queue[web.BaseRequest]"], Awaitable[None]]


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSandbox]:
    with run_sandbox() as sandbox:
        sandbox.put_keys({"key": KEY})
        yield sandbox


@pytest.fixture(autouse=True)
def clean(running: RunningSandbox) -> None:
    running.reset()


def listen(conversation: Talk) -> None:
    """Have a conversation beside a server of ours, whose address (with a token) the vendor is told."""

    async def run() -> None:
        calls: asyncio.Queue[web.BaseRequest] = asyncio.Queue()

        async def take(request: web.BaseRequest) -> web.StreamResponse:
            await request.read()
            calls.put_nowait(request)
            return web.Response(status=204)

        runner = web.ServerRunner(web.Server(take))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            token = make_token(TOKEN_KEY, tenant="t1", request="r1")
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook/{token}"
            async with aiohttp.ClientSession() as session:
                await conversation(session, url, calls)
        finally:
            await runner.cleanup()

    asyncio.run(run())


async def next_call(calls: "asyncio.Queue[web.BaseRequest]") -> web.BaseRequest:
    async with asyncio.timeout(30):
        return await calls.get()


def ask(word: str, *wanted: str) -> Lookup:
    return Lookup.of(wanted, first_name="Ann", last_name=f"{word}-Lee", domain="shop.example")


def answer_of(outcome: object) -> Answer:
    assert isinstance(outcome, Answer)
    return outcome


def test_apollo_tells_later_what_it_did_not_know(running: RunningSandbox) -> None:
    async def conversation(
        session: aiohttp.ClientSession, url: str, calls: "asyncio.Queue[web.BaseRequest]"
    ) -> None:
        client = Apollo(session, base_url=running.url)
        lookups = [
            ask("later", "email"),
            ask("miss", "email"),
            ask("found", "email"),
            ask("found", "email", "phone"),
        ]
        outcomes = [answer_of(o) for o in await client.look_up(lookups, KEY, callback_url=url)]
        later, missed, found, reveal = outcomes
        assert later.pending
        assert not later.findings
        assert missed.is_miss
        assert found.pending is None
        assert reveal.pending
        assert "email" in reveal.findings
        call = await next_call(calls)
        token = call.path.rpartition("/")[2]
        assert verify_token(token, TOKEN_KEY, tenant="t1", request="r1")
        asked = {o.pending: at for o, at in zip(outcomes, lookups, strict=True) if o.pending}
        told = client.read_callback(await call.read(), asked)
        assert set(told) == {later.pending, reveal.pending}
        email = answer_of(told[later.pending]).findings["email"]
        assert email.value == "ann.later-lee@shop.example"
        assert answer_of(told[reveal.pending]).findings["phone"].value == "+4915112345678"

    listen(conversation)
    assert len(running.calls()) == 1


def test_apollo_is_not_asked_to_search_on_where_nobody_can_be_called(
    running: RunningSandbox,
) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            client = Apollo(session, base_url=running.url)
            (outcome,) = await client.look_up([ask("later", "email")], KEY)
            assert answer_of(outcome).is_miss

    asyncio.run(run())
    assert running.summary()["callbacks"] == {}


@pytest.mark.parametrize("words", [("found",), ("low",), ("found", "low", "miss")])
def test_apollo_does_not_call_about_what_it_has_told_already(
    running: RunningSandbox, words: tuple[str, ...]
) -> None:
    async def conversation(
        session: aiohttp.ClientSession, url: str, calls: "asyncio.Queue[web.BaseRequest]"
    ) -> None:
        client = Apollo(session, base_url=running.url)
        lookups = [ask(word, "email") for word in words]
        outcomes = await client.look_up(lookups, KEY, callback_url=url)
        assert [answer_of(outcome).pending for outcome in outcomes] == [None] * len(words)
        # The vendor calls in order: what comes first is about the one that was announced.
        (later,) = await client.look_up([ask("later", "email")], KEY, callback_url=url)
        body = json.loads(await (await next_call(calls)).read())
        assert [row["id"] for row in body["people"]] == [answer_of(later).pending]

    listen(conversation)


def test_clearbit_signs_what_it_tells_later(running: RunningSandbox) -> None:
    async def conversation(
        session: aiohttp.ClientSession, url: str, calls: "asyncio.Queue[web.BaseRequest]"
    ) -> None:
        client = Clearbit(session, base_url=running.url)
        lookup = Lookup.of(["company"], email="later-ann@shop.example")
        (outcome,) = await client.look_up([lookup], KEY, callback_url=url)
        pending = answer_of(outcome).pending
        assert pending
        call = await next_call(calls)
        body, signature = await call.read(), call.headers["X-Request-Signature"]
        assert verify_clearbit(signature, body, KEY)
        assert not verify_clearbit(signature, body + b" ", KEY)
        assert not verify_clearbit(signature, body, "sk_another")
        told = client.read_callback(body, {pending: lookup})
        assert answer_of(told[pending]).findings["company"].value == "Shop"

    listen(conversation)


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/hook",
        "http://169.254.169.254/hook",
        "http://127.0.0.1.shop.example/hook",
        "http://127.0.0.1@shop.example/hook",
        "https://127.0.0.1/hook",
        "ftp://127.0.0.1/hook",
        "//127.0.0.1/hook",
        "http://[::1/hook",
    ],
)
def test_the_sandbox_calls_nobody_but_this_machine(running: RunningSandbox, url: str) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            body = {"first_name": "Ann", "last_name": "later-Lee", "domain": "shop.example"}
            asked = {**body, "run_waterfall_email": True, "webhook_url": url}
            async with session.post(
                f"{running.url}/api/v1/people/match", json=asked, headers={"x-api-key": KEY}
            ) as answer:
                assert json.loads(await answer.read())["waterfall"] == {"status": "accepted"}

    asyncio.run(run())
    assert running.summary()["callbacks"] == {"refused": 1}
