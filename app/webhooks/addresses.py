"""Which addresses a webhook may be sent to: the rule, applied to the text, to each answer of DNS, and to each socket.

A client names the address, and this machine stands inside: whatever is not of the public internet is refused, in every
notation. Only https, unless a setting allows http; only the web's ports. `WEBHOOK_ALLOW_LOOPBACK` opens this very machine,
for development and tests, and nothing else.
"""

import re
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urlsplit

from app.errors import InvalidInput
from app.jobs.webhook_url import check_webhook_url
from app.settings import Settings

#: Beside 80 and 443: what is below is mail, shells and the like, which take no events.
FIRST_FREE_PORT = 1024
#: Not of the public internet, or a way around it, beside what `ipaddress` knows (IANA's special-purpose registries).
_REFUSED = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "100.64.0.0/10",
            "192.0.0.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "240.0.0.0/4",
            "::/96",
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",
            "2001:db8::/32",
            "2002::/16",
            "3fff::/20",
            "5f00::/16",
            "fc00::/7",
            "fec0::/10",
        ),
    )
)
#: What ends in a number is an IP address to some resolvers, in one of many old spellings.
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
#: An IPv4 address stands in the last 32 bits; what it is decides (RFC 6052, "well-known prefix").
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefused(OSError):
    """The connection is not made: the name leads to an address that webhooks may not go to."""


@dataclass(frozen=True)
class AddressRule:
    """What the installation allows beyond the rule."""

    allow_http: bool = False
    allow_loopback: bool = False

    @classmethod
    def from_settings(cls, settings: Settings) -> "AddressRule":
        """Take what the environment allows."""
        return cls(settings.webhook_allow_http, settings.webhook_allow_loopback)

    def may_reach(self, address: str) -> bool:
        """Tell whether a connection to an IP address may be made; False for what is none."""
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        if self.allow_loopback and ip.is_loopback:
            return True
        return _is_public(ip)

    def check(self, url: str, field: str = "url") -> str:
        """Return the address. Raises `InvalidInput`, which says what to change, for what the text alone rules out.

        Where a name leads is checked at each connection: it may lead elsewhere by then.
        """
        try:
            check_webhook_url(url)
        except InvalidInput as error:
            raise InvalidInput(error.message.replace("webhook_url", field), field=field) from None
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".").lower()
        is_here = host == "localhost" or host.endswith(".localhost") or _is_loopback(host)
        if parts.scheme != "https" and not (self.allow_http or (is_here and self.allow_loopback)):
            raise InvalidInput(f"{field} must begin with https://.", field=field)
        if _NUMBER.fullmatch(host.rpartition(".")[2]) and not _is_ip(host):
            raise InvalidInput(f"{field} must name a host, or an IP address in full.", field=field)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if port < FIRST_FREE_PORT and port not in (80, 443):
            raise InvalidInput(
                f"{field} must use port 443, 80, or one from {FIRST_FREE_PORT} on.", field=field
            )
        if (is_here and not self.allow_loopback) or (_is_ip(host) and not self.may_reach(host)):
            raise InvalidInput(
                f"{field} must lead to the public internet: this address is private.", field=field
            )
        return url


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return _is_ip(host) and ip_address(host).is_loopback


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return _is_public(ip.ipv4_mapped)
        if ip.scope_id is None and ip in _NAT64:
            return _is_public(IPv4Address(int(ip) & 0xFFFFFFFF))
        if ip.scope_id is not None or ip.is_site_local:
            return False
    if not ip.is_global or ip.is_multicast or ip.is_reserved or ip.is_unspecified:
        return False
    return not any(ip in network for network in _REFUSED if network.version == ip.version)
