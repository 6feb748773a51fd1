"""The enrichment clients against the sandbox: real HTTP, the vendors' shapes, each error."""

import asyncio
from collections.abc import Iterator

import aiohttp
import pytest

from app.enrichment.lookup import Answer, Kind, Lookup
from app.enrichment.provider import EnrichmentProvider, LateProvider, StepwiseProvider
from app.enrichment.providers import build_all, check_chain
from app.errors import InvalidInput
from app.provider_errors import (
    OutOfCredit,
    ProviderError,
    Rejected,
    StillLooking,
    Throttled,
    Unauthorized,
    Unavailable,
)
from app.settings import Settings
from sandbox.process import RunningSandbox, run_sandbox
from tests.integration.enrichment_world import (
    KEY,
    NAMES,
    answer_of,
    ask,
    fails_with,
    for_finders,
    settings_for,
    talk,
)


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSandbox]:
    with run_sandbox() as sandbox:
        sandbox.put_keys({"key": KEY})
        yield sandbox


@pytest.fixture(autouse=True)
def clean(running: RunningSandbox) -> None:
    running.reset()


@pytest.mark.parametrize("name", NAMES)
def test_a_person_is_found_and_recorded(running: RunningSandbox, name: str) -> None:
    async def conversation(client: EnrichmentProvider) -> None:
        assert client.name == name
        answer = answer_of((await client.look_up([ask("found")], KEY))[0])
        assert {"company", "linkedin_url"} <= set(answer.findings)
        assert {found.provider for found in answer.findings.values()} == {name}

    talk(running.url, name, conversation)
    (call,) = running.calls()
    assert (call["provider"], call["key"], call["status"], call["code"]) == (
        name,
        KEY,
        200,
        "found",
    )
    assert running.summary()["charged"] == 1


@pytest.mark.parametrize("name", ["apollo", "hunter"])
def test_an_email_is_found_with_its_score(running: RunningSandbox, name: str) -> None:
    async def conversation(client: EnrichmentProvider) -> None:
        for word, low, high in (("found", 90, 100), ("low", 20, 20)):
            answer = answer_of((await client.look_up([for_finders(word)], KEY))[0])
            email = answer.findings["email"]
            assert email.value == f"annabella.{word}-secretname@secret-shop.example"
            assert email.score is not None
            assert low <= email.score <= high

    talk(running.url, name, conversation)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("word", ["miss", "nobody"])
def test_a_miss_is_an_answer(running: RunningSandbox, name: str, word: str) -> None:
    async def conversation(client: EnrichmentProvider) -> None:
        assert answer_of((await client.look_up([ask(word)], KEY))[0]).is_miss

    talk(running.url, name, conversation)
    assert running.summary()["charged"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_trouble_is_an_error_of_the_right_kind(running: RunningSandbox, name: str) -> None:
    async def conversation(client: EnrichmentProvider) -> None:
        for word in ("error500", "garbage", "truncated", "huge", "close"):
            await fails_with(client, Unavailable, word)
        await fails_with(client, Throttled, "throttled")
        await fails_with(client, OutOfCredit, "spent")
        await fails_with(client, Rejected, "blocked")
        await fails_with(client, Unauthorized, "found", key="a-key-nobody-knows")

    talk(running.url, name, conversation)
    assert [call["status"] for call in running.calls()[:5]] == [500, 200, 200, 200, 0]
    assert running.summary()["charged"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_fields_of_the_wrong_types_are_no_miss(running: RunningSandbox, name: str) -> None:
    async def conversation(client: EnrichmentProvider) -> None:
        try:
            (outcome,) = await client.look_up([ask("odd")], KEY)
        except ProviderError as error:
            outcome = error
        assert type(outcome) is Unavailable

    talk(running.url, name, conversation)


@pytest.mark.parametrize("name", NAMES)
def test_trouble_passes(running: RunningSandbox, name: str) -> None:
    async def conversation(client: EnrichmentProvider) -> None:
        await fails_with(client, Unavailable, "flaky1")
        assert not answer_of((await client.look_up([ask("flaky1")], KEY))[0]).is_miss

    talk(running.url, name, conversation)


def test_apollo_takes_ten_at_once_in_one_call(running: RunningSandbox) -> None:
    words = ["found", "miss", "odd", "low", "nobody", "found", "later", "miss", "found", "low"]

    async def conversation(client: EnrichmentProvider) -> None:
        outcomes = await client.look_up([for_finders(word) for word in words], KEY)
        for word, outcome in zip(words, outcomes, strict=True):
            if word == "odd":
                assert type(outcome) is Unavailable
                continue
            email = answer_of(outcome).findings.get("email")
            assert (email is not None) == (word in {"found", "low"})
            assert email is None or word in email.value
        answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        assert sum(answer.credits or 0 for answer in answers) == 6

    talk(running.url, "apollo", conversation)
    (call,) = running.calls()
    assert call["code"] == ",".join(words)
    assert running.summary()["charged"] == 6


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_asked_costs_no_call(running: RunningSandbox, name: str) -> None:
    async def conversation(client: EnrichmentProvider) -> None:
        poor = Lookup.of(["email"], first_name="Annabella")
        (outcome,) = await client.look_up([poor], KEY)
        assert type(outcome) is Rejected
        assert outcome.message == client.needs(poor)
        assert client.needs(ask("found")) is None
        for count in (0, client.max_batch + 1):
            with pytest.raises(ValueError, match="lookups"):
                await client.look_up([poor] * count, KEY)

    talk(running.url, name, conversation)
    assert running.calls() == []


def test_a_row_that_cannot_be_asked_keeps_its_place(running: RunningSandbox) -> None:
    async def conversation(client: EnrichmentProvider) -> None:
        poor = Lookup.of(["email"], first_name="Annabella")
        lookups = [poor, for_finders("found"), poor, for_finders("miss")]
        kinds = [type(outcome) for outcome in await client.look_up(lookups, KEY)]
        assert kinds == [Rejected, Answer, Rejected, Answer]

    talk(running.url, "apollo", conversation)
    assert running.calls()[0]["email"].count(" @ ") == 2


def test_hunter_asks_again_where_it_is_told_later(running: RunningSandbox) -> None:
    async def conversation(client: EnrichmentProvider) -> None:
        await fails_with(client, StillLooking, "later1")
        assert not answer_of((await client.look_up([ask("later1")], KEY))[0]).is_miss

    talk(running.url, "hunter", conversation)


def test_clearbit_is_asked_again_where_nobody_can_be_called(running: RunningSandbox) -> None:
    async def conversation(client: EnrichmentProvider) -> None:
        await fails_with(client, StillLooking, "later")

    talk(running.url, "clearbit", conversation)


def test_a_chain_names_known_providers_once_each() -> None:
    usual = settings_for("http://127.0.0.1:1", enrichment_chain="apollo,hunter").enrichment_chain
    assert usual == Settings.model_fields["enrichment_chain"].get_default(call_default_factory=True)
    assert check_chain(usual) == ("apollo", "hunter")
    for wrong in (["apollo", "nobody"], ["hunter", "hunter"], []):
        with pytest.raises(InvalidInput):
            check_chain(wrong)


def test_the_clients_are_what_the_interface_says() -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            known = build_all(session, settings_for("http://127.0.0.1:1")).values()
            assert {p.name for p in known if isinstance(p, LateProvider)} == {"apollo", "clearbit"}
            stepwise = [p for p in known if isinstance(p, StepwiseProvider)]
            assert [(p.name, p.max_batch) for p in stepwise] == [("mailtester", 1)]
            assert all(provider.finds <= set(Kind) for provider in known)

    asyncio.run(run())
