"""Does a domain take mail? Asked of the machine's DNS resolver, and only believed when it really answers.

"No" needs an answer that says so: the name does not exist, a null MX (RFC 7505), or neither MX nor an
address (RFC 5321, 5.1). Whatever else happens (a timeout, SERVFAIL, no resolver at all) is "can't tell".
Some closed networks answer "does not exist" to every name of the outside; so a "no" counts only while
the same resolver knows a name that surely exists, the witness.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver
import structlog

log = structlog.get_logger(__name__)

#: A name and type that every resolver with a way out knows.
WITNESS: Final = ("com.", "NS")
WITNESS_SECONDS: Final = 300.0
#: Bounds on how long an answer is kept, whatever its TTL says (seconds).
TTL_FLOOR: Final = 60.0
TTL_CEILING: Final = 3_600.0
UNSURE_TTL: Final = 30.0
#: After so many silent lookups in a row nothing is asked for a while: a network without DNS must not
#: slow every address down by the timeout.
SILENCES: Final = 5
PAUSE_SECONDS: Final = 60.0
CONCURRENT_LOOKUPS: Final = 64


class Mail(Enum):
    """Whether a domain takes mail."""

    YES = auto()
    NO = auto()
    CANT_TELL = auto()


@dataclass(frozen=True, slots=True)
class Finding:
    """What DNS says about a domain: `reason` in words where it is a "no", `mx` the preferred host."""

    mail: Mail
    reason: str = ""
    mx: str | None = None
    ttl: float = UNSURE_TTL


_CANT_TELL: Final = Finding(Mail.CANT_TELL)


class MailDomains:
    """Answers for domains, kept for their TTL; at most one lookup a domain is under way.

    `timeout_seconds` is for one whole lookup (up to three questions). `cache_size` bounds the memory.
    `resolver` None means that the machine has none: everything is "can't tell".
    """

    def __init__(
        self,
        resolver: dns.asyncresolver.Resolver | None,
        *,
        timeout_seconds: float = 2.0,
        cache_size: int = 50_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resolver = resolver
        self._timeout_seconds = timeout_seconds
        self._cache_size = cache_size
        self._clock = clock
        self._cache: OrderedDict[str, tuple[float, Finding]] = OrderedDict()
        self._flights: dict[str, asyncio.Task[Finding]] = {}
        self._slots = asyncio.Semaphore(CONCURRENT_LOOKUPS)
        self._silences = 0
        self._paused_until = float("-inf")
        self._trusted_until = float("-inf")

    async def find(self, domain: str) -> Finding:
        """Say whether `domain` (ASCII, lower case) takes mail. Raises nothing of DNS."""
        kept = self._cache.get(domain)
        if kept is not None and self._clock() < kept[0]:
            self._cache.move_to_end(domain)
            return kept[1]
        if self._resolver is None or self._is_paused():
            return _CANT_TELL
        flight = self._flights.get(domain)
        if flight is None:
            flight = asyncio.create_task(self._look_up(self._resolver, domain))
            self._flights[domain] = flight
            flight.add_done_callback(lambda _: self._flights.pop(domain, None))
        # A waiter that is cancelled must not take the others' lookup with it.
        return await asyncio.shield(flight)

    def _is_paused(self) -> bool:
        return self._clock() < self._paused_until

    async def _look_up(self, resolver: dns.asyncresolver.Resolver, domain: str) -> Finding:
        async with self._slots:
            if self._is_paused():
                return _CANT_TELL
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    finding = await _ask(resolver, domain)
                    if finding.mail is Mail.NO and not await self._is_trusted(resolver):
                        finding = _CANT_TELL
            except (TimeoutError, dns.exception.Timeout):
                self._note_silence()
                finding = _CANT_TELL
            except (dns.exception.DNSException, OSError, ValueError):
                finding = _CANT_TELL
            else:
                self._silences = 0
        self._keep(domain, finding)
        return finding

    async def _is_trusted(self, resolver: dns.asyncresolver.Resolver) -> bool:
        if self._clock() < self._trusted_until:
            return True
        try:
            await resolver.resolve(*WITNESS, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return False
        self._trusted_until = self._clock() + WITNESS_SECONDS
        return True

    def _note_silence(self) -> None:
        if self._is_paused():
            return  # a lookup that was under way when the pause began
        self._silences += 1
        if self._silences >= SILENCES:
            self._silences = 0
            self._paused_until = self._clock() + PAUSE_SECONDS
            log.warning("dns_silent", pause_seconds=PAUSE_SECONDS)

    def _keep(self, domain: str, finding: Finding) -> None:
        self._cache[domain] = (self._clock() + finding.ttl, finding)
        self._cache.move_to_end(domain)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)


def system_resolver(timeout_seconds: float) -> dns.asyncresolver.Resolver | None:
    """Return the resolver that the machine is set up with, or None where there is none.

    A question is sent again after a third of `timeout_seconds`: UDP loses packets.
    """
    try:
        resolver = dns.asyncresolver.Resolver()
    except (dns.resolver.NoResolverConfiguration, OSError):
        return None
    resolver.timeout = timeout_seconds / 3
    return resolver


async def _ask(resolver: dns.asyncresolver.Resolver, domain: str) -> Finding:
    """Ask for MX, then A, then AAAA. Raises what dnspython raises for anything but a plain answer."""
    name = dns.name.from_text(domain)
    try:
        answer = await resolver.resolve(name, "MX", search=False)
    except dns.resolver.NXDOMAIN:
        return Finding(Mail.NO, "The domain does not exist.", ttl=TTL_FLOOR)
    except dns.resolver.NoAnswer:
        return await _ask_for_address(resolver, name)
    records = sorted(
        (record.preference, record.exchange.to_text(omit_final_dot=True)) for record in answer
    )
    ttl = min(max(float(answer.rrset.ttl if answer.rrset else 0), TTL_FLOOR), TTL_CEILING)
    hosts = [host for _, host in records if host not in {"", ".", "@"}]
    if not hosts:
        return Finding(Mail.NO, "The domain says that it takes no mail (null MX).", ttl=ttl)
    return Finding(Mail.YES, mx=hosts[0].lower(), ttl=ttl)


async def _ask_for_address(resolver: dns.asyncresolver.Resolver, name: dns.name.Name) -> Finding:
    for kind in ("A", "AAAA"):
        try:
            await resolver.resolve(name, kind, search=False)
        except dns.resolver.NoAnswer:
            continue
        except dns.resolver.NXDOMAIN:
            break
        # Without an MX the host of that name is the mail host (RFC 5321, 5.1).
        return Finding(Mail.YES, mx=name.to_text(omit_final_dot=True), ttl=TTL_FLOOR)
    return Finding(Mail.NO, "The domain has no mail host and no address.", ttl=TTL_FLOOR)
