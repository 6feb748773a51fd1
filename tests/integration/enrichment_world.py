"""How the tests of enrichment ask a vendor's client, and what they expect of its errors."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from app.departures import NotingRequest
from app.enrichment.lookup import Answer, Lookup
from app.enrichment.provider import EnrichmentProvider, Outcome
from app.enrichment.providers import PROVIDERS
from app.provider_errors import ProviderError
from app.settings import Settings

KEY = "sk_secret-key-of-the-tests"
Talk = Callable[[EnrichmentProvider], Awaitable[None]]
#: Vendors that say in one call what they know of somebody. MailTester needs several: `test_mailtester_finder.py`.
NAMES = sorted(set(PROVIDERS) - {"mailtester"})


def settings_for(url: str, **more: Any) -> Settings:
    urls = {f"{name}_base_url": url + "/" for name in PROVIDERS}
    fields = {"secret_key": "x" * 32, "encryption_keys": "x" * 44, "enrichment_chain": NAMES}
    return Settings.model_validate({**fields, **urls, **more})


def talk(url: str, name: str, conversation: Talk, seconds: float = 10) -> None:
    """Have a conversation with one vendor's client, made as a process makes it."""

    async def run() -> None:
        settings = settings_for(url, provider_timeout_seconds=seconds)
        async with aiohttp.ClientSession(request_class=NotingRequest) as session:
            await conversation(PROVIDERS[name](session, settings))

    asyncio.run(run())


def ask(word: str, *wanted: str) -> Lookup:
    """A lookup that every vendor can be asked; `word` begins the last name and the e-mail."""
    return Lookup.of(
        wanted or ["email", "company", "social"],
        first_name="Annabella",
        last_name=f"{word}-Secretname",
        domain="secret-shop.example",
        email="" if "email" in wanted else f"{word}-annabella@secret-shop.example",
    )


def for_finders(word: str) -> Lookup:
    """As somebody who wants the e-mail asks, without one."""
    return ask(word, "email")


async def fails_with(
    client: EnrichmentProvider, kind: type[ProviderError], word: str, key: str = KEY
) -> ProviderError:
    """Expect an error of exactly this kind that tells nothing of key, name or address."""
    with pytest.raises(ProviderError) as caught:
        await client.look_up([ask(word)], key)
    error = caught.value
    assert type(error) is kind
    assert error.__context__ is None
    assert error.__cause__ is None
    shown = (
        error.message
        + repr(error)
        + repr(vars(error))
        + "".join(traceback.format_exception_only(error))
    )
    for private in (key, "Annabella", "Secretname", "secret-shop"):
        assert private.lower() not in shown.lower()
    return error


def answer_of(outcome: Outcome) -> Answer:
    assert isinstance(outcome, Answer)
    return outcome
