"""docs/adding-a-provider.md, done: a vendor of three small pieces, asked through the same code as all others."""

import asyncio
from collections.abc import Sequence
from typing import Self

import aiohttp
import pytest
from aiohttp import web

from app.enrichment.gathering import Gathering
from app.enrichment.lookup import Answer, Kind, Lookup
from app.enrichment.provider import EnrichmentProvider, Outcome, in_order, sendable
from app.enrichment.providers import PROVIDERS, build_all, check_chain
from app.provider_calls import Caller, read_object
from app.provider_errors import Throttled, Unauthorized
from app.provider_refusals import refusal_of
from app.settings import Settings
from sandbox import server
from sandbox.control import put_keys
from sandbox.people import Question
from sandbox.record import Record
from sandbox.state import Answering, State
from sandbox.vendor import Visit, answer_json
from tests.integration.enrichment_world import KEY, settings_for


class Tiny:
    """Piece one: the client. It finds telephone numbers by e-mail."""

    name = "tiny"
    max_batch = 1
    finds = frozenset({Kind.PHONE})
    base_url = ""

    def __init__(self, session: aiohttp.ClientSession, settings: Settings) -> None:
        self._caller = Caller(
            session,
            timeout_seconds=settings.provider_timeout_seconds,
            body_limit_bytes=64 * 1024,
        )

    @classmethod
    def at(cls, url: str) -> type[Self]:
        return type("TinyThere", (cls,), {"base_url": url})

    def needs(self, lookup: Lookup) -> str | None:
        return None if lookup.person.email else "Tiny needs an e-mail."

    async def look_up(
        self,
        lookups: Sequence[Lookup],
        key_secret: str,
        *,
        callback_url: str | None = None,  # noqa: ARG002 - it calls nobody back
    ) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        for place, lookup in sendable(self, lookups).items():
            reply = await self._caller.call(
                "GET",
                self.base_url + "/tiny",
                query={"email": lookup.person.email},
                headers={"x-key": key_secret},
            )
            if reply.status != 200:
                raise refusal_of(reply)
            found = Gathering(self.name, lookup)
            found.take("phone", read_object(reply.body).get("phone"))
            outcomes[place] = found.answer()
        return in_order(self, lookups, outcomes)


class TinyVendor:
    """Piece three: the vendor, simulated."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.routes: dict[str, Answering] = {"/tiny": self.find}

    async def find(self, request: web.BaseRequest, query: str) -> web.StreamResponse:
        visit = Visit(self._state, "tiny", request.headers.get("x-key", ""))
        question = Question(email=query.partition("=")[2].replace("%40", "@"))
        case = visit.judge([question], is_valid=True)
        refusals = {"bad_key": 401, "throttled": 429}
        if case.trouble in refusals:
            visit.note(refusals[case.trouble])
            return answer_json({}, refusals[case.trouble])
        is_found = case.fates[0].is_found
        visit.note(200, case.fates[0].kind, charged=[question] if is_found else [])
        return answer_json({"phone": "+49 30 1234567" if is_found else None})


def test_a_provider_is_added_by_its_client_a_line_and_its_sandbox(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        monkeypatch.setattr(server, "VENDORS", [*server.VENDORS, TinyVendor])
        sandbox = server.Sandbox(Record(keep=10, bound=10))
        put_keys(sandbox.state, [{"key": KEY}, {"key": "narrow", "windows": [[1, 60_000]]}])
        url = f"http://127.0.0.1:{await sandbox.start('127.0.0.1', 0)}"
        # Piece two: its line in the registry.
        monkeypatch.setitem(PROVIDERS, "tiny", Tiny.at(url))
        try:
            settings = settings_for(url, enrichment_chain="tiny,apollo")
            async with aiohttp.ClientSession() as session:
                assert check_chain(settings.enrichment_chain) == ("tiny", "apollo")
                await converse(build_all(session, settings)["tiny"])
        finally:
            await sandbox.stop()
        calls = sandbox.state.record.page(0, 10)["calls"]
        assert [(call["provider"], call["status"]) for call in calls] == [
            ("tiny", status) for status in (200, 200, 200, 429, 401)
        ]
        assert sandbox.state.record.summary()["violations"] == 1

    asyncio.run(run())


async def converse(tiny: EnrichmentProvider) -> None:
    """Ask the new vendor as any other: a find, a miss, each limit, a key that is wrong."""
    found, missed = (
        Lookup.of(["phone"], email=f"{word}-ann@shop.example") for word in ("found", "miss")
    )
    (answer,) = await tiny.look_up([found], KEY)
    assert isinstance(answer, Answer)
    assert answer.findings["phone"].value == "+49 30 1234567"
    assert answer.findings["phone"].provider == "tiny"
    (answer,) = await tiny.look_up([missed], KEY)
    assert isinstance(answer, Answer)
    assert answer.is_miss
    await tiny.look_up([found], "narrow")
    with pytest.raises(Throttled):
        await tiny.look_up([found], "narrow")
    with pytest.raises(Unauthorized):
        await tiny.look_up([found], "a-key-nobody-knows")
