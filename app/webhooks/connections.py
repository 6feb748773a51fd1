"""The HTTP session that webhooks are sent with: it connects only to addresses that were checked.

A name is looked up for each new connection, every address of the answer is checked, and the connection is made to one of
these very addresses: a name that answers differently a moment later changes nothing. The last check stands at the socket,
so that no notation of an address goes around the resolver. No proxy, no cookie, nothing decompressed.
"""

import socket
from typing import Any, Protocol

import aiohttp
import dns.asyncresolver
import dns.exception
from aiohttp.abc import AbstractResolver, ResolveResult

from app.webhooks.addresses import AddressRefused, AddressRule

#: An unused connection is closed after this long: the receiver may have moved.
KEEP_SECONDS = 15.0
#: For one name, whatever its servers do.
LOOK_UP_SECONDS = 5.0
_AddrInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]


class Names(Protocol):
    """Looks a name's addresses up, as dnspython's resolver does."""

    async def resolve_name(self, name: str, **kwargs: Any) -> Any:
        """Return an object whose `addresses()` are the answer. Raises what dnspython raises."""


class CheckedResolver(AbstractResolver):
    """Answers with a name's addresses when all of them may be reached.

    Asks DNS on the loop: the system's own look-up would take a thread for as long as a client's name server is silent, and
    there are few. So it knows nothing of /etc/hosts but `localhost`. `names` None: the machine's resolver.
    """

    def __init__(self, rule: AddressRule, names: Names | None = None) -> None:
        self._rule = rule
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a name up. Raises `AddressRefused` when one address of the answer is refused, `OSError` for no answer."""
        answers: list[ResolveResult] = []
        for address in await self._look_up(host, family):
            if not self._rule.may_reach(address):
                raise AddressRefused(f"{host} leads to {address}, which is not public")
            answers.append(
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                    proto=socket.IPPROTO_TCP,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        if not answers:
            raise OSError(f"{host} has no address")
        return answers

    async def _look_up(self, host: str, family: socket.AddressFamily) -> list[str]:
        name = host.rstrip(".").lower()
        if name == "localhost" or name.endswith(".localhost"):
            return ["127.0.0.1"]  # RFC 6761: never asked of DNS.
        try:
            if self._names is None:
                self._names = dns.asyncresolver.Resolver()
            found = await self._names.resolve_name(
                name, family=family, search=False, lifetime=LOOK_UP_SECONDS
            )
        except (dns.exception.DNSException, ValueError) as error:
            raise OSError(f"{host} could not be looked up: {type(error).__name__}") from error
        return [str(address) for address in found.addresses()]

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
