"""What each vendor is asked, word by word: method, path, query, key, body."""

import asyncio
import base64
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from app.enrichment.lookup import Lookup
from app.enrichment.provider import EnrichmentProvider
from app.enrichment.providers.apollo import Apollo
from app.enrichment.providers.clearbit import Clearbit
from app.enrichment.providers.hunter import Hunter

KEY = "sk_secret-key-of-the-tests"
HOOK = "https://laneway.example/hook/token"
ANN = {"first_name": "Ann", "last_name": "Lee", "domain": "shop.example"}


class Asked:
    """The one request that arrived."""

    def __init__(self, request: web.BaseRequest, body: bytes) -> None:
        self.line = f"{request.method} {request.path}"
        self.query = dict(request.rel_url.query)
        self.headers = request.headers
        self.body: Any = json.loads(body) if body else None


def request_of(
    make: type[EnrichmentProvider], lookups: list[Lookup], callback_url: str | None = None
) -> Asked:
    """Have the lookups asked of a server that only listens."""
    seen: list[Asked] = []

    async def take(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(Asked(request, await request.read()))
        return web.json_response({"data": {"email": None}, "person": None, "matches": [None] * 2})

    async def run() -> None:
        runner = web.ServerRunner(web.Server(take))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with aiohttp.ClientSession() as session:
                client = make(session, base_url=url)  # type: ignore[call-arg]
                await client.look_up(lookups, KEY, callback_url=callback_url)
        finally:
            await runner.cleanup()

    asyncio.run(run())
    (asked,) = seen
    return asked


@pytest.mark.parametrize(
    ("known", "query"),
    [
        (ANN, ANN),
        ({**ANN, "company": "Shop"}, ANN),
        (
            {"full_name": "Ann de Vries", "company": "Shop & Co"},
            {"full_name": "Ann de Vries", "company": "Shop & Co"},
        ),
    ],
)
def test_hunter_is_asked_by_name_and_domain(known: dict[str, str], query: dict[str, str]) -> None:
    asked = request_of(Hunter, [Lookup.of(["email"], **known)], HOOK)
    assert asked.line == "GET /v2/email-finder"
    assert asked.query == query
    assert asked.headers["X-API-KEY"] == KEY
    assert asked.body is None


def test_apollo_is_asked_about_one_by_match() -> None:
    asked = request_of(Apollo, [Lookup.of(["email"], **ANN, company="Shop")])
    assert asked.line == "POST /api/v1/people/match"
    assert asked.query == {}
    assert asked.headers["x-api-key"] == KEY
    assert asked.body == {**ANN, "organization_name": "Shop"}


def test_apollo_is_asked_about_several_by_bulk_match() -> None:
    lookups = [Lookup.of(["company"], email="ann@shop.example"), Lookup.of(["email"], **ANN)]
    asked = request_of(Apollo, lookups)
    assert asked.line == "POST /api/v1/people/bulk_match"
    assert asked.body == {"details": [{"email": "ann@shop.example"}, ANN]}


@pytest.mark.parametrize(
    ("wanted", "known", "flags"),
    [
        (["email"], ANN, {"run_waterfall_email": True}),
        (["phone"], ANN, {"reveal_phone_number": True}),
        (["email", "phone"], ANN, {"run_waterfall_email": True, "reveal_phone_number": True}),
        (["email"], {"email": "ann@shop.example"}, {}),
        (["company"], ANN, {}),
    ],
)
def test_apollo_searches_on_only_for_what_is_wanted_and_unknown(
    wanted: list[str], known: dict[str, str], flags: dict[str, bool]
) -> None:
    asked = request_of(Apollo, [Lookup.of(wanted, **known)], HOOK)
    address = {"webhook_url": HOOK} if flags else {}
    assert asked.body == {**known, **flags, **address}


def test_clearbit_is_asked_by_email_with_the_key_as_user() -> None:
    lookup = Lookup.of(["company"], email="ann@shop.example")
    asked = request_of(Clearbit, [lookup])
    assert asked.line == "GET /v2/combined/find"
    assert asked.query == {"email": "ann@shop.example"}
    assert (
        base64.b64decode(asked.headers["Authorization"].removeprefix("Basic "))
        == f"{KEY}:".encode()
    )
    again = request_of(Clearbit, [lookup], HOOK)
    assert again.query["webhook_url"] == HOOK
    assert len(again.query["webhook_id"]) == 32
