"""The MailTester finder: somebody's e-mail, by asking whether the company's mail server takes the usual ones, one a call.

The vendor describes a finder that does so, and no address of it over HTTP; its verification is what we know, so the steps are
made here. Each is one verification: a call that is reserved, paid for and on record by itself.
"""

import re
from collections.abc import Sequence
from typing import Final

from app.enrichment.gathering import Gathering
from app.enrichment.lookup import Answer, Kind, Lookup
from app.enrichment.provider import Outcome, only
from app.enrichment.providers.mailtester_addresses import MOST, Candidate, candidates_of
from app.mailtester.answers import NAME, Checked
from app.mailtester.client import MailTesterCalls
from app.provider_errors import Rejected, StillLooking
from app.verdicts import Verdict

#: Each call is one verification, whatever it says.
CREDITS: Final = 1.0
#: A mail server that puts strangers off does so for minutes, and asking is paid for each time.
ASK_AGAIN_SECONDS: Final = 300
#: Messages of `ko` that are about the domain: no other address there is any better.
_DOMAIN: Final = {
    "no mx": ("no_mx", "The domain takes no mail."),
    "disposable": ("disposable", "The domain hands out throw-away addresses."),
}
_CATCH_ALL: Final = (
    "catch_all",
    "The domain takes mail for any address, so nobody can tell which one is right.",
)
#: Words of the vendor that may be shown; whatever else stands there may quote the address.
_UNSURE: Final = frozenset({"greylisted", "mx error", "spam block", "timeout"})
#: Whose addresses are anybody's: there, an address that fits a name is somebody else's. First those of many countries.
_FOR_EVERYBODY: Final = re.compile(
    r"(aol|gmail|gmx|googlemail|hotmail|live|msn|outlook|yahoo|yandex)\.(com|net|(com?\.)?[a-z]{2})"
    r"|(126|163|btinternet|fastmail|icloud|mac|mail|me|naver|protonmail|qq|rediffmail|rocketmail|sina|tutanota|ymail)\.com"
    r"|(att|bellsouth|charter|comcast|cox|daum|earthlink|hanmail|laposte|sbcglobal|ukr|verizon)\.net"
    r"|(arcor|freenet|t-online|web)\.de|(free|orange|sfr|wanadoo)\.fr|(alice|libero|tin|tiscali|virgilio)\.it"
    r"|(bk|inbox|list|mail|rambler|ya)\.ru|(interia|o2|onet|wp)\.pl|(bol|terra|uol)\.com\.br"
    r"|bluewin\.ch|pm\.me|proton\.me|seznam\.cz"
)


class MailTesterFinder(MailTesterCalls):
    """Satisfies `StepwiseProvider` for MailTester Ninja. A step is the name of the pattern that is next."""

    name = NAME
    max_batch = 1
    most_calls = MOST
    finds = frozenset({Kind.EMAIL})

    def needs(self, lookup: Lookup) -> str | None:
        """See `EnrichmentProvider.needs`. Source: the required inputs of the vendor's finder."""
        person = lookup.person
        if not person.domain:
            return "MailTester needs the company's domain."
        if _FOR_EVERYBODY.fullmatch(person.domain):
            return "MailTester needs the company's own domain, not one of a mail service for everybody."
        if not candidates_of(person):
            return "MailTester needs a first and a last name in Latin letters."
        return None

    async def look_up(
        self,
        lookups: Sequence[Lookup],
        key_secret: str,
        *,
        callback_url: str | None = None,  # noqa: ARG002 - MailTester calls nobody back; part of the interface
    ) -> list[Outcome]:
        """See `EnrichmentProvider.look_up`."""
        lookup = only(self, lookups)
        if (lack := self.needs(lookup)) is not None:
            return [Rejected(lack)]
        return [await self.go_on(lookup, key_secret, "")]

    async def go_on(self, lookup: Lookup, key_secret: str, step: str) -> Outcome:
        """See `StepwiseProvider.go_on`."""
        candidates = candidates_of(lookup.person)
        names = [candidate.pattern for candidate in candidates]
        place = names.index(step) if step in names else 0
        said = await self.check(candidates[place].email, key_secret)
        following = names[place + 1] if place + 1 < len(names) else None
        return read(said, lookup, candidates[place], following)


def read(said: Checked, lookup: Lookup, candidate: Candidate, following: str | None) -> Answer:
    """Return what a verification of a candidate means for the lead; `following` is the next pattern, if there is one.

    Raises `StillLooking` where the mail server gave no verdict: that says nothing of the address, and the same step is asked
    again.
    """
    if said.verdict is Verdict.VALID:
        found = Gathering(NAME, lookup)
        found.take("email", candidate.email, score=candidate.score)
        return found.answer(cost=CREDITS)
    if said.verdict is Verdict.CATCH_ALL:
        return _miss(*_CATCH_ALL)
    if said.verdict is Verdict.INVALID:
        if (about := _DOMAIN.get(said.message.lower())) is not None:
            return _miss(*about)
        if following is None:
            return _miss("none_accepted", "The mail server accepts none of the usual addresses.")
        return Answer(
            credits=CREDITS,
            next_step=following,
            note=f"The mail server does not accept {candidate.pattern}.",
        )
    word = said.message if said.message.lower() in _UNSURE else "no reason"
    raise StillLooking(
        f"The mail server said neither yes nor no to {candidate.pattern} ({word}).",
        retry_after=ASK_AGAIN_SECONDS,
        credits=CREDITS,
    )


def _miss(code: str, note: str) -> Answer:
    return Answer(credits=CREDITS, code=code, note=note)
