"""The HTTP session that webhooks are sent with: it connects only to addresses that were checked.

A name is looked up for each new connection, every address of the answer is checked, and the connection is made to one of
these very addresses: a name that answers differently a moment later changes nothing. The last check stands at the socket,
so that no notation of an address goes around the resolver. No proxy, no cookie, nothing decompressed.
"""

import asyncio
import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from app.webhooks.addresses import AddressRefused, AddressRule

#: An unused connection is closed after this long: the receiver may have moved.
KEEP_SECONDS = 15.0
_AddrInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]


class CheckedResolver(AbstractResolver):
    """Answers with a name's addresses when all of them may be reached."""

    def __init__(self, rule: AddressRule) -> None:
        self._rule = rule

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a name up. Raises `AddressRefused` when one address of the answer is refused, `OSError` for no answer."""
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, family=family
        )
        answers: list[ResolveResult] = []
        for kind, _, protocol, _, place in found:
            address = str(place[0])
            if not self._rule.may_reach(address):
                raise AddressRefused(f"{host} leads to {address}, which is not public")
            answers.append(
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=kind,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        if not answers:
            raise OSError(f"{host} has no address")
        return answers

    async def close(self) -> None:
        """Hold nothing."""


def make_session(
    rule: AddressRule, resolver: AbstractResolver | None = None
) -> aiohttp.ClientSession:
    """Make the session, on the running loop. `resolver` stands for the checked one in tests."""

    def checked_socket(info: _AddrInfo) -> socket.socket:
        family, kind, protocol, _, place = info
        if not rule.may_reach(str(place[0])):
            raise AddressRefused(f"{place[0]} is not public")
        return socket.socket(family=family, type=kind, proto=protocol)

    connector = aiohttp.TCPConnector(
        # How many attempts are under way is each endpoint's own bound.
        limit=0,
        use_dns_cache=False,
        resolver=resolver or CheckedResolver(rule),
        keepalive_timeout=KEEP_SECONDS,
        socket_factory=checked_socket,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
    )
