"""The question to DNS, asked of a real (tiny) DNS server on loopback."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import cast

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from app.verdicts import Verdict
from app.verification.dns_lookup import (
    PAUSE_SECONDS,
    SILENCES,
    TTL_CEILING,
    Mail,
    MailDomains,
)
from app.verification.local_checks import LocalChecks

ZONE = {
    "com. NS": "a.gtld.test.",
    "mail.example. MX": "20 second.mail.example.",
    "two.example. MX": "10 MX1.two.example.",
    "nullmx.example. MX": "0 .",
    "host.example. A": "192.0.2.1",
    "sixth.example. AAAA": "2001:db8::1",
    "bare.example. TXT": "no mail here",
}
NAMES = {name.split()[0] for name in ZONE}


class Zone(asyncio.DatagramProtocol):
    """Answers from ZONE; NXDOMAIN for other names, silence for `silent`, SERVFAIL for `broken`."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.is_captive = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text()
        kind = question.to_text().split()[-1]
        self.asked[f"{name} {kind}"] += 1
        if "silent" in name:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if "broken" in name:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif self.is_captive or name not in NAMES:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif found := ZONE.get(f"{name} {kind}"):
            answer.answer.append(dns.rrset.from_text(name, 600, "IN", kind, found))
        self.transport.sendto(answer.to_wire(), address)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


Story = Callable[[MailDomains, Zone, Clock], Awaitable[None]]


def tell(story: Story, *, timeout_seconds: float = 1.0, cache_size: int = 100) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        transport, zone = await loop.create_datagram_endpoint(Zone, local_addr=("127.0.0.1", 0))
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = transport.get_extra_info("sockname")[1]
        clock = Clock()
        domains = MailDomains(
            resolver, timeout_seconds=timeout_seconds, cache_size=cache_size, clock=clock
        )
        try:
            await story(domains, zone, clock)
        finally:
            transport.close()

    asyncio.run(run())


def test_each_kind_of_domain() -> None:
    async def story(domains: MailDomains, _zone: Zone, _clock: Clock) -> None:
        found = {name: await domains.find(name.rstrip(".")) for name in NAMES - {"com."}}
        assert {name: finding.mail for name, finding in found.items()} == {
            "mail.example.": Mail.YES,
            "two.example.": Mail.YES,
            "nullmx.example.": Mail.NO,
            "host.example.": Mail.YES,
            "sixth.example.": Mail.YES,
            "bare.example.": Mail.NO,
        }
        assert found["two.example."].mx == "mx1.two.example"
        assert (await domains.find("nowhere.example")).mail is Mail.NO

    tell(story)


def test_the_checks_use_it_and_say_why() -> None:
    async def story(domains: MailDomains, _zone: Zone, _clock: Clock) -> None:
        checks = LocalChecks(domains=domains)
        answer = await checks.check("avery@nullmx.example")
        assert answer is not None
        assert (answer.verdict, answer.code) == (Verdict.INVALID, "no_mx")
        assert "null MX" in answer.message
        assert await checks.check("avery@mail.example") is None
        assert await checks.check("avery@broken.example") is None

    tell(story)


def test_what_is_no_answer_is_never_a_no() -> None:
    async def story(domains: MailDomains, _zone: Zone, _clock: Clock) -> None:
        assert (await domains.find("broken.example")).mail is Mail.CANT_TELL
        assert (await domains.find("silent.example")).mail is Mail.CANT_TELL
        assert (await domains.find("a" * 70 + ".example")).mail is Mail.CANT_TELL
        assert (await MailDomains(None).find("mail.example")).mail is Mail.CANT_TELL

    tell(story, timeout_seconds=0.2)


def test_a_resolver_that_knows_nothing_is_not_believed() -> None:
    async def story(domains: MailDomains, zone: Zone, _clock: Clock) -> None:
        zone.is_captive = True
        assert (await domains.find("nowhere.example")).mail is Mail.CANT_TELL
        zone.is_captive = False
        assert (await domains.find("nowhere2.example")).mail is Mail.NO

    tell(story)


def test_answers_are_kept_for_their_time_and_asked_for_once() -> None:
    async def story(domains: MailDomains, zone: Zone, clock: Clock) -> None:
        await asyncio.gather(*(domains.find("mail.example") for _ in range(20)))
        await domains.find("mail.example")
        assert zone.asked["mail.example. MX"] == 1
        clock.now += TTL_CEILING
        await domains.find("mail.example")
        assert zone.asked["mail.example. MX"] == 2

    tell(story)


def test_a_waiter_that_leaves_does_not_take_the_others_with_it() -> None:
    async def story(domains: MailDomains, _zone: Zone, _clock: Clock) -> None:
        first, second = (asyncio.create_task(domains.find("mail.example")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).mail is Mail.YES

    tell(story)


def test_the_cache_is_bounded() -> None:
    async def story(domains: MailDomains, zone: Zone, _clock: Clock) -> None:
        for name in ("mail.example", "two.example", "host.example", "mail.example"):
            await domains.find(name)
        assert zone.asked["mail.example. MX"] == 2

    tell(story, cache_size=2)


def test_after_several_silences_nothing_is_asked_for_a_while() -> None:
    async def story(domains: MailDomains, zone: Zone, clock: Clock) -> None:
        await asyncio.gather(*(domains.find(f"silent{n}.example") for n in range(SILENCES)))
        assert (await domains.find("mail.example")).mail is Mail.CANT_TELL
        assert zone.asked["mail.example. MX"] == 0
        clock.now += PAUSE_SECONDS
        assert (await domains.find("mail.example")).mail is Mail.YES

    tell(story, timeout_seconds=0.2)
