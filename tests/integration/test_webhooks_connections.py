"""Names that lead inside: whatever DNS says, and whenever, no connection is made to an address that was not checked."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import aiohttp
import dns.resolver
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from app.webhooks.addresses import AddressRefused, AddressRule
from app.webhooks.connections import CheckedResolver, make_session
from app.webhooks.schedule import Answer
from app.webhooks.sending import send
from tests.integration.webhook_world import HERE, Received, Receiver, Reply

OUTSIDE = AddressRule(allow_http=True)


def port_of(receiver: Receiver) -> int:
    return int(receiver.url.split(":")[2].split("/")[0])


def post(
    url: str, rule: AddressRule, resolver: AbstractResolver | None = None, seconds: float = 5
) -> Answer:
    async def run() -> Answer:
        async with make_session(rule, resolver) as session:
            return await send(session, rule, url, "{}", {}, seconds=seconds)

    return asyncio.run(run())


class Saying(AbstractResolver):
    """A resolver that says what it is told, unchecked: DNS that changed its mind after the check."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - the interface
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Hold nothing."""


class Dns:
    """A machine's resolver that answers every name with these addresses, or not at all."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve_name(self, name: str, **_: object) -> Any:
        if not self._addresses:
            raise dns.resolver.NXDOMAIN
        return SimpleNamespace(addresses=lambda: iter(self._addresses), name=name)


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "db.localhost"])
def test_localhost_is_here_whatever_dns_says(name: str) -> None:
    async def run() -> None:
        await CheckedResolver(OUTSIDE, Dns("1.1.1.1")).resolve(name, 443)

    with pytest.raises(AddressRefused, match="not public"):
        asyncio.run(run())


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("1.1.1.1", "10.0.0.1"),
        ("2606:4700::1111", "fe80::1"),
        ("::ffff:127.0.0.1",),
    ],
)
def test_one_private_address_among_public_ones_is_enough(
    receiver: Receiver, addresses: tuple[str, ...]
) -> None:
    url = f"http://mixed.example.com:{port_of(receiver)}/"
    answer = post(url, OUTSIDE, CheckedResolver(OUTSIDE, Dns(*addresses)))
    assert (
        answer.error
        == f"Not sent: mixed.example.com leads to {addresses[-1]}, which is not public."
    )
    assert receiver.received == []


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.0.0.1", "017700000001"])
def test_other_spellings_of_this_machine_are_not_reached(receiver: Receiver, host: str) -> None:
    answer = post(f"http://{host}:{port_of(receiver)}/", OUTSIDE)
    assert answer.status is None
    assert answer.error is not None
    assert answer.error.startswith("Not sent:")
    assert receiver.received == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_dns_that_changes_after_the_check_gains_nothing(receiver: Receiver, address: str) -> None:
    answer = post(f"http://rebind.example.com:{port_of(receiver)}/", OUTSIDE, Saying(address))
    assert answer.status is None
    assert answer.error == f"Not sent: {address} is not public."
    assert receiver.received == []


def test_the_connection_goes_to_the_address_that_was_checked(receiver: Receiver) -> None:
    """The very answer of the resolver is used; the name is not looked up a second time."""
    url = f"http://hook.localhost:{port_of(receiver)}/"
    answer = post(url, HERE, Saying("127.0.0.1"))
    assert answer.status == 200
    assert receiver.received[0].headers["host"] == f"hook.localhost:{port_of(receiver)}"


def test_a_proxy_of_the_environment_is_not_asked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", receiver.url)
    monkeypatch.setenv("http_proxy", receiver.url)
    answer = post("http://nowhere.invalid/", OUTSIDE, CheckedResolver(OUTSIDE, Dns()))
    assert answer.error == "The name of the receiver could not be looked up."
    assert receiver.received == []


def test_no_answer_in_time(receiver: Receiver) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        answer = post(f"http://127.0.0.1:{silent.getsockname()[1]}/", HERE, seconds=0.3)
    assert answer.status is None
    assert answer.error == "No answer within 0.3 s."
    assert 290 <= answer.ms < 2_000


def test_nobody_there() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    answer = post(f"http://127.0.0.1:{port}/", HERE)
    assert answer.error == "The receiver could not be reached."


def test_an_answer_that_is_no_http() -> None:
    async def run() -> Answer:
        async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, make_session(HERE) as session:
            return await send(session, HERE, f"http://127.0.0.1:{port}/", "{}", {}, seconds=5)

    answer = asyncio.run(run())
    assert answer.status is None
    assert "could not be read" in str(answer.error)


def test_a_body_that_drips_does_not_make_a_delivery_fail() -> None:
    async def run() -> Answer:
        async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
            await writer.drain()
            await reader.read()  # Until the other side has enough of it.
            writer.close()

        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, make_session(HERE) as session:
            return await send(session, HERE, f"http://127.0.0.1:{port}/", "", {}, seconds=5)

    answer = asyncio.run(run())
    assert (answer.status, answer.body) == (200, "begun")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120.0), ("-1", None), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", None)],
)
def test_retry_after_is_read(receiver: Receiver, value: str, seconds: float | None) -> None:
    receiver.answer = lambda _: Reply(503, {"Retry-After": value})
    answer = post(receiver.url, HERE)
    assert (answer.status, answer.retry_after) == (503, seconds)


def test_cookies_are_not_carried_from_one_client_to_another(receiver: Receiver) -> None:
    def hand_out(_: Received) -> Reply:
        return Reply(headers={"Set-Cookie": "who=first"})

    receiver.answer = hand_out

    async def twice() -> None:
        async with make_session(HERE) as session:
            for _ in range(2):
                await send(session, HERE, receiver.url, "{}", {}, seconds=5)

    asyncio.run(twice())
    assert "cookie" not in receiver.received[1].headers


def test_the_session_follows_no_environment() -> None:
    async def look() -> aiohttp.ClientSession:
        async with make_session(OUTSIDE) as session:
            return session

    assert asyncio.run(look()).trust_env is False
