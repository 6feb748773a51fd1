"""Limits, deadlines and departures of the enrichment clients' calls, against the sandbox."""

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from app.departures import departed
from app.enrichment.provider import EnrichmentProvider
from app.provider_errors import OutOfCredit, Throttled, Unavailable
from sandbox.process import RunningSandbox, run_sandbox
from tests.integration.enrichment_world import KEY, NAMES, ask, fails_with, talk


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSandbox]:
    with run_sandbox() as sandbox:
        sandbox.put_keys(
            {"key": KEY},
            {"key": "one-burst", "windows": [[1, 10_000], [100, 60_000]]},
            {"key": "one-minute", "windows": [[1, 60_000], [100, 3_600_000]], "daily_limit": 600},
            {"key": "one-hour", "windows": [[50, 60_000], [1, 3_600_000]], "daily_limit": 600},
            {"key": "one-day", "daily_limit": 1},
            {"key": "one-answer", "quota": 1},
        )
        yield sandbox


@pytest.fixture(autouse=True)
def clean(running: RunningSandbox) -> None:
    running.reset()


@pytest.mark.parametrize("name", NAMES)
def test_silence_ends_at_the_deadline(running: RunningSandbox, name: str) -> None:
    async def conversation(client: EnrichmentProvider) -> None:
        assert "0.2 s" in (await fails_with(client, Unavailable, "timeout")).message

    talk(running.url, name, conversation, seconds=0.2)


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_connection_is_not_repeated(running: RunningSandbox, name: str) -> None:
    async def conversation(client: EnrichmentProvider) -> None:
        await client.look_up([ask("found")], KEY)  # the connection that breaks is a used one
        await fails_with(client, Unavailable, "close")

    talk(running.url, name, conversation)
    assert len(running.calls()) == 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["one-burst", "one-minute", "one-day"])
def test_every_window_of_a_key_is_held_at_arrival(
    running: RunningSandbox, name: str, key: str
) -> None:
    async def conversation(client: EnrichmentProvider) -> None:
        outcomes = await asyncio.gather(
            *(client.look_up([ask("found")], key) for _ in range(2)), return_exceptions=True
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Throttled", "list"]

    talk(running.url, name, conversation)
    assert running.summary()["violations"] == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_that_is_used_up_is_no_throttling(running: RunningSandbox, name: str) -> None:
    async def conversation(client: EnrichmentProvider) -> None:
        await client.look_up([ask("found")], "one-answer")
        await fails_with(client, OutOfCredit, "found", key="one-answer")

    talk(running.url, name, conversation)


@pytest.mark.parametrize(
    ("key", "seconds"), [("one-minute", 60), ("one-hour", 3_600), ("one-day", 86_400)]
)
def test_apollos_headers_say_how_long_to_wait(
    running: RunningSandbox, key: str, seconds: int
) -> None:
    async def conversation(client: EnrichmentProvider) -> None:
        await client.look_up([ask("found")], key)
        assert (await fails_with(client, Throttled, "found", key=key)).retry_after == seconds

    talk(running.url, "apollo", conversation)


@pytest.mark.parametrize("name", NAMES)
def test_a_call_says_when_it_leaves(running: RunningSandbox, name: str) -> None:
    left: list[str] = []

    async def conversation(client: EnrichmentProvider) -> None:
        departed.set(lambda: left.append(name))
        await client.look_up([ask("found")], KEY)

    talk(running.url, name, conversation)
    assert left == [name]


def test_a_call_with_a_body_leaves_when_its_body_is_written(
    running: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    write_bytes = aiohttp.ClientRequest.write_bytes

    async def noted(request: aiohttp.ClientRequest, *args: Any) -> None:
        await write_bytes(request, *args)
        events.append("written")

    monkeypatch.setattr(aiohttp.ClientRequest, "write_bytes", noted)

    async def conversation(client: EnrichmentProvider) -> None:
        departed.set(lambda: events.append("left"))
        await client.look_up([ask("found")], KEY)

    talk(running.url, "apollo", conversation)
    assert events == ["written", "left"]
