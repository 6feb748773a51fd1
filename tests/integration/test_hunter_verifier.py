"""The client of Hunter's verifier against the sandbox: verdicts, refusals, limits, silence."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import pytest

from app.departures import NotingRequest
from app.provider_errors import (
    OutOfCredit,
    ProviderError,
    Rejected,
    StillLooking,
    Throttled,
    Unauthorized,
    Unavailable,
)
from app.verdicts import Verdict
from app.verification.provider import VerificationProvider
from app.verification.providers import PROVIDERS
from sandbox.process import RunningSandbox, run_sandbox
from tests.integration.enrichment_world import settings_for

KEY = "secret-key-of-the-tests"
Talk = Callable[[VerificationProvider], Awaitable[None]]


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSandbox]:
    with run_sandbox() as sandbox:
        sandbox.put_keys(
            {"key": KEY},
            {"key": "narrow", "windows": [[1, 60_000]]},
            {"key": "used-up", "quota": 1},
        )
        yield sandbox


@pytest.fixture(autouse=True)
def clean(running: RunningSandbox) -> None:
    running.reset()


def talk(url: str, conversation: Talk, seconds: float = 10) -> None:
    async def run() -> None:
        settings = settings_for(url, provider_timeout_seconds=seconds)
        async with aiohttp.ClientSession(request_class=NotingRequest) as session:
            await conversation(PROVIDERS["hunter"](session, settings))

    asyncio.run(run())


async def fails_with(
    client: VerificationProvider, kind: type[ProviderError], local: str, key: str = KEY
) -> None:
    """Expect an error of exactly this kind that tells nothing of the key or the address."""
    with pytest.raises(ProviderError) as caught:
        await client.verify(f"{local}@secret-shop.example", key)
    error = caught.value
    assert type(error) is kind
    shown = "".join(traceback.format_exception_only(error)) + repr(error) + repr(vars(error))
    assert key not in shown
    assert "secret-shop" not in shown


def test_each_word_of_the_vendor_is_a_verdict(running: RunningSandbox) -> None:
    wanted = {
        "ok-1": Verdict.VALID,
        "ko-1": Verdict.INVALID,
        "catchall-1": Verdict.CATCH_ALL,
        "webmail-1": Verdict.VALID,
        "shy-1": Verdict.UNKNOWN,
        "disposable-1": Verdict.INVALID,
        "unknown-1": Verdict.UNKNOWN,
    }

    async def conversation(client: VerificationProvider) -> None:
        await client.prepare(KEY)
        await client.open_ahead()
        found = {
            word: (await client.verify(f"{word}@shop.example", KEY)).verdict for word in wanted
        }
        assert found == wanted

    talk(running.url, conversation)
    assert {call["provider"] for call in running.calls()} == {"hunter"}


@pytest.mark.parametrize(
    ("local", "kind"),
    [
        ("later", StillLooking),
        ("blocked", Rejected),
        ("throttled", Throttled),
        ("spent", OutOfCredit),
        ("error500", Unavailable),
        ("garbage", Unavailable),
        ("odd", Unavailable),
        ("huge", Unavailable),
        ("truncated", Unavailable),
        ("close", Unavailable),
    ],
)
def test_each_trouble_is_its_error(
    running: RunningSandbox, local: str, kind: type[ProviderError]
) -> None:
    async def conversation(client: VerificationProvider) -> None:
        await client.verify("ok-1@shop.example", KEY)  # the connection that breaks is a used one
        await fails_with(client, kind, f"{local}-x")

    talk(running.url, conversation)
    assert len(running.calls()) == 2, "no call is repeated by the client itself"


def test_a_wrong_key_is_refused(running: RunningSandbox) -> None:
    async def conversation(client: VerificationProvider) -> None:
        await fails_with(client, Unauthorized, "ok-1", key="not-a-key-at-all")

    talk(running.url, conversation)


def test_too_fast_and_used_up_are_told_apart(running: RunningSandbox) -> None:
    async def conversation(client: VerificationProvider) -> None:
        for key, kind in (("narrow", Throttled), ("used-up", OutOfCredit)):
            await client.verify("ok-1@shop.example", key)
            await fails_with(client, kind, "ok-2", key=key)

    talk(running.url, conversation)


def test_what_is_looked_for_is_there_when_asked_again(running: RunningSandbox) -> None:
    async def conversation(client: VerificationProvider) -> None:
        for _ in range(2):
            await fails_with(client, StillLooking, "later2-x")
        answer = await client.verify("later2-x@secret-shop.example", KEY)
        assert answer.verdict is Verdict.VALID

    talk(running.url, conversation)


def test_silence_ends_at_the_deadline(running: RunningSandbox) -> None:
    async def conversation(client: VerificationProvider) -> None:
        await fails_with(client, Unavailable, "timeout-x")

    talk(running.url, conversation, seconds=0.2)
