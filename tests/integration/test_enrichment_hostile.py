"""The enrichment clients against servers that behave worse than any vendor."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from app.enrichment.lookup import Lookup
from app.enrichment.provider import EnrichmentProvider
from app.enrichment.providers.apollo import Apollo
from app.enrichment.providers.clearbit import Clearbit
from app.enrichment.providers.hunter import Hunter
from app.provider_errors import ProviderError, Unavailable

KEY = "sk_secret-key-of-the-tests"
LOOKUP = Lookup.of(
    ["email", "company"],
    first_name="Annabella",
    last_name="Secretname",
    email="annabella@secret-shop.example",
    domain="secret-shop.example",
)
CLIENTS = [Apollo, Clearbit, Hunter]
MEGABYTE = 1024 * 1024


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


async def fails(client: EnrichmentProvider, key: str = KEY) -> ProviderError:
    """Expect an error that tells nothing, and hangs on none that does."""
    with pytest.raises(ProviderError) as caught:
        await client.look_up([LOOKUP], key, callback_url="http://127.0.0.1:1/secret-hook")
    error = caught.value
    shown = error.message + repr(error) + repr(vars(error)) + repr(error.__context__)
    for private in (key, "annabella", "secretname", "secret-shop", "secret-hook"):
        assert private not in shown.lower()
    return error


@pytest.mark.parametrize("make_client", CLIENTS)
@pytest.mark.parametrize(
    "make",
    [
        lambda: web.Response(body=b"no gzip", headers={"Content-Encoding": "gzip"}),
        lambda: web.Response(status=302, headers={"Location": "/elsewhere"}),
        lambda: web.Response(status=307, headers={"Location": "/elsewhere"}),
        lambda: web.Response(status=204),
        lambda: web.Response(body=b"[" * 500_000),
        lambda: web.Response(status=404, text="Annabella Secretname of secret-shop: not found"),
        lambda: web.json_response(None),
        lambda: web.json_response({"data": "secretname", "person": 1, "company": 1}),
    ],
    ids=["no-gzip", "302", "307", "204", "deep", "404", "null", "odd"],
)
def test_what_makes_no_sense_is_unavailable_after_one_call(
    make_client: type[Apollo | Clearbit | Hunter], make: Callable[[], web.Response]
) -> None:
    paths: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        paths.append(request.path)
        return make()

    async def run() -> None:
        async with serve(answer) as url, aiohttp.ClientSession() as session:
            client = make_client(session, base_url=url)
            try:
                outcome = (await client.look_up([LOOKUP], KEY))[0]
            except ProviderError as error:
                outcome = error
            assert type(outcome) is Unavailable
            assert "secret" not in outcome.message.lower()

    asyncio.run(run())
    assert len(paths) == 1


#: A good answer of each vendor, were it not for its length.
LONG = json.dumps(
    {"data": {"email": None}, "person": None, "company": None, "pad": "x" * 20 * MEGABYTE}
).encode()


@pytest.mark.parametrize("make_client", CLIENTS)
@pytest.mark.parametrize(
    "make",
    [
        lambda: web.Response(body=LONG),
        lambda: web.Response(body=gzip.compress(LONG), headers={"Content-Encoding": "gzip"}),
    ],
    ids=["long", "bomb"],
)
def test_a_body_over_the_bound_is_given_up_unread(
    make_client: type[Apollo | Clearbit | Hunter], make: Callable[[], web.Response]
) -> None:
    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return make()

    async def run() -> None:
        async with serve(answer) as url, aiohttp.ClientSession() as session:
            error = await fails(make_client(session, base_url=url))
            assert error.message == "The answer is longer than 1024 KB."

    asyncio.run(run())


@pytest.mark.parametrize("make_client", CLIENTS)
def test_the_key_is_in_a_header_and_in_no_address(
    make_client: type[Apollo | Clearbit | Hunter],
) -> None:
    seen: list[tuple[str, str]] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        seen.append((request.raw_path, (await request.read()).decode()))
        return web.Response(status=503)

    async def run() -> None:
        async with serve(answer) as url, aiohttp.ClientSession() as session:
            await fails(make_client(session, base_url=url))

    asyncio.run(run())
    assert [KEY in path + body for path, body in seen] == [False]


@pytest.mark.parametrize("make_client", CLIENTS)
def test_a_wrong_address_or_key_of_ours_tells_nothing(
    make_client: type[Apollo | Clearbit | Hunter],
) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            for base in ("not-a-url", "http://", "http://127.0.0.1:99999", "http://127.0.0.1:1"):
                assert type(await fails(make_client(session, base_url=base))) is Unavailable

    asyncio.run(run())


@pytest.mark.parametrize("make_client", CLIENTS)
def test_a_key_with_a_line_break_adds_no_header(
    make_client: type[Apollo | Clearbit | Hunter],
) -> None:
    evil: list[bool] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        evil.append("x-evil" in request.headers)
        return web.Response(status=503)

    async def run() -> None:
        async with serve(answer) as url, aiohttp.ClientSession() as session:
            client = make_client(session, base_url=url)
            assert type(await fails(client, "sk_secret\r\nx-evil: 1")) is Unavailable

    asyncio.run(run())
    assert True not in evil
