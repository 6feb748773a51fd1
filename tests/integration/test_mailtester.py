"""The MailTester client against the sandbox, and against servers that behave worse than it."""

import asyncio
import gzip
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from app.provider_errors import (
    Limited,
    NotReady,
    ProviderError,
    Rejected,
    Throttled,
    Unauthorized,
    Unavailable,
)
from app.verdicts import Verdict
from app.verification.mailtester import Contract, MailTester
from app.verification.provider import VerificationProvider
from sandbox.process import RunningSandbox, run_sandbox

KEY = "secret-key-of-the-tests"
Talk = Callable[[MailTester], Awaitable[None]]


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSandbox]:
    with run_sandbox() as sandbox:
        sandbox.put_keys({"key": KEY}, {"key": "narrow", "spacing_ms": 60_000})
        yield sandbox


@pytest.fixture(autouse=True)
def clean(running: RunningSandbox) -> None:
    running.reset()


def talk(url: str, conversation: Talk, contract: Contract = "key", seconds: float = 10) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            client = MailTester(
                session,
                base_url=url,
                token_url=f"{url}/token",
                contract=contract,
                timeout_seconds=seconds,
            )
            await conversation(client)

    asyncio.run(run())


async def fails_with(
    client: MailTester, kind: type[ProviderError], local: str, key: str = KEY
) -> ProviderError:
    """Expect an error of exactly this kind that tells nothing of the key or the address."""
    with pytest.raises(ProviderError) as caught:
        await client.verify(f"{local}@shop.example", key)
    error = caught.value
    assert type(error) is kind
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    assert key not in shown.replace('secret-key-of-the-tests"', "")
    assert error.__context__ is None or key not in repr(error.__context__)
    return error


@pytest.mark.parametrize(
    ("local", "verdict"),
    [
        ("ok-1", Verdict.VALID),
        ("ko-1", Verdict.INVALID),
        ("nomx-1", Verdict.INVALID),
        ("catchall-1", Verdict.CATCH_ALL),
        ("greylist-1", Verdict.UNKNOWN),
    ],
)
def test_an_answer_becomes_a_verdict(running: RunningSandbox, local: str, verdict: Verdict) -> None:
    async def conversation(client: VerificationProvider) -> None:
        answer = await client.verify(f"{local}+tag@shop.example", KEY)
        assert answer.verdict is verdict
        assert answer.provider == client.name == "mailtester"

    talk(running.url, conversation)
    assert [call["email"] for call in running.calls()] == [f"{local}+tag@shop.example"]


def test_trouble_is_an_error_of_the_right_kind(running: RunningSandbox) -> None:
    async def conversation(client: MailTester) -> None:
        await fails_with(client, Limited, "limited-1")
        await fails_with(client, Unavailable, "error500-1")
        await fails_with(client, Unavailable, "garbage-1")
        await fails_with(client, Unavailable, "close-1")
        await fails_with(client, Unauthorized, "ok-1", key="a-key-nobody-knows")
        throttled = await fails_with(client, Throttled, "throttled-1")
        assert throttled.retry_after == 1

    talk(running.url, conversation)


def test_a_429_says_when_to_come_back(running: RunningSandbox) -> None:
    async def conversation(client: MailTester) -> None:
        await client.verify("ok-1@shop.example", "narrow")
        error = await fails_with(client, Throttled, "ok-2", key="narrow")
        assert error.retry_after is not None
        assert 50 <= error.retry_after <= 60

    talk(running.url, conversation)


def test_a_broken_connection_is_not_repeated(running: RunningSandbox) -> None:
    async def conversation(client: MailTester) -> None:
        await client.verify("ok-1@shop.example", KEY)  # the connection that breaks is a used one
        await fails_with(client, Unavailable, "close-1")

    talk(running.url, conversation)
    assert [call["email"][:4] for call in running.calls()] == ["ok-1", "clos"]


def test_silence_ends_at_the_deadline(running: RunningSandbox) -> None:
    async def conversation(client: MailTester) -> None:
        error = await fails_with(client, Unavailable, "timeout-1")
        assert "0.2 s" in error.message

    talk(running.url, conversation, seconds=0.2)


def test_nobody_at_home_is_unavailable(unused_port: int) -> None:
    async def conversation(client: MailTester) -> None:
        await fails_with(client, Unavailable, "ok-1")

    talk(f"http://127.0.0.1:{unused_port}", conversation)


@pytest.fixture
def unused_port() -> Iterator[int]:
    with socket.socket() as held:  # bound but not listening: nobody else gets it, nobody answers
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_the_token_contract_prepares_then_calls(running: RunningSandbox) -> None:
    async def conversation(client: MailTester) -> None:
        await asyncio.gather(*(client.prepare(KEY) for _ in range(10)))
        answers = [await client.verify(f"ok-{n}@shop.example", KEY) for n in range(3)]
        assert {answer.verdict for answer in answers} == {Verdict.VALID}
        with pytest.raises(Unauthorized):
            await client.prepare("a-key-nobody-knows")

    talk(running.url, conversation, contract="token")
    assert {call["key"] for call in running.calls()} == {KEY}


def test_a_call_without_a_token_gives_its_moment_back(running: RunningSandbox) -> None:
    async def conversation(client: MailTester) -> None:
        await fails_with(client, NotReady, "ok-1")
        assert (await client.verify("ok-1@shop.example", KEY)).verdict is Verdict.VALID

    talk(running.url, conversation, contract="token")
    assert len(running.calls()) == 1


def test_a_token_that_ran_out_is_renewed(running: RunningSandbox) -> None:
    async def conversation(client: MailTester) -> None:
        await client.prepare(KEY)
        await client.verify("ok-1@shop.example", KEY)
        await asyncio.to_thread(running.reset)
        await fails_with(client, NotReady, "ok-2")
        await client.prepare(KEY)
        assert (await client.verify("ok-2@shop.example", KEY)).verdict is Verdict.VALID
        await asyncio.to_thread(running.set_mode, token_seconds=0)
        await fails_with(client, NotReady, "ok-3")
        await client.prepare(KEY)
        await fails_with(client, Unauthorized, "ok-3")

    talk(running.url, conversation, contract="token")


@asynccontextmanager
async def serve(
    response: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(response))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: web.Response(body=b"x" * 70_000), Unavailable),
        (
            lambda: web.Response(
                body=gzip.compress(b"x" * 50_000_000), headers={"Content-Encoding": "gzip"}
            ),
            Unavailable,
        ),
        (lambda: web.Response(status=302, headers={"Location": "/elsewhere"}), Unavailable),
        (lambda: web.Response(status=401, text="Unauthorized"), Unauthorized),
        (lambda: web.Response(status=400), Rejected),
        (lambda: web.Response(status=503, headers={"Retry-After": "7"}), Unavailable),
        (lambda: web.Response(body=b"", headers={"Content-Encoding": "gzip"}), Unavailable),
        (lambda: web.Response(body=b"no gzip", headers={"Content-Encoding": "gzip"}), Unavailable),
    ],
    ids=["long", "bomb", "redirect", "401", "400", "503", "empty", "broken-encoding"],
)
def test_a_server_that_misbehaves(
    make: Callable[[], web.Response], kind: type[ProviderError]
) -> None:
    calls: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        calls.append(request.path)
        return make()

    async def run() -> None:
        async with serve(answer) as url, aiohttp.ClientSession() as session:
            client = MailTester(session, base_url=url + "/", token_url=url, timeout_seconds=10)
            error = await fails_with(client, kind, "a")
            assert error.retry_after == (7 if make().status == 503 else None)

    asyncio.run(run())
    assert calls == ["/ninja"]


def test_a_key_that_the_server_repeats_is_hidden() -> None:
    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"code": "ok", "message": f"Accepted for {KEY}", "mx": KEY})

    async def run() -> None:
        async with serve(answer) as url, aiohttp.ClientSession() as session:
            client = MailTester(session, base_url=url, token_url=url)
            assert KEY not in repr(await client.verify("a@shop.example", KEY))

    asyncio.run(run())


def test_a_wrong_address_of_ours_does_not_tell_the_key() -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            for base in ("not-a-url", "http://", "http://127.0.0.1:99999"):
                client = MailTester(session, base_url=base, token_url=base)
                await fails_with(client, Unavailable, "a")

    asyncio.run(run())
