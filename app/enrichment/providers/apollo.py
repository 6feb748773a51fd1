"""The Apollo client: people/match for one person, people/bulk_match for up to ten, one call either way.

With a callback URL it also asks for what Apollo finds out later (a waterfall for e-mails, a reveal of telephone
numbers); that costs more, and only whoever can take the later call should ask for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import aiohttp

from app.enrichment.lookup import Kind, Lookup
from app.enrichment.provider import Outcome, in_order, sendable
from app.enrichment.providers import apollo_answers
from app.provider_calls import Caller
from app.settings import Settings

#: Ten people with their companies are some 100 KB; what is longer is refused unread.
BODY_LIMIT_BYTES: Final = 1024 * 1024

#: Our fields and Apollo's.
_DETAILS: Final = (
    ("first_name", "first_name"),
    ("last_name", "last_name"),
    ("full_name", "name"),
    ("company", "organization_name"),
    ("domain", "domain"),
    ("email", "email"),
    ("linkedin_url", "linkedin_url"),
)


class Apollo:
    """Satisfies `LateProvider` for apollo.io."""

    name = apollo_answers.NAME
    #: Source: the vendor takes at most ten details a call.
    max_batch = 10
    finds = frozenset({Kind.EMAIL, Kind.COMPANY, Kind.SOCIAL, Kind.PHONE, Kind.PERSON})

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str = "https://api.apollo.io",
        timeout_seconds: float = 30.0,
    ) -> None:
        self._people_url = base_url.rstrip("/") + "/api/v1/people/"
        self._caller = Caller(
            session, timeout_seconds=timeout_seconds, body_limit_bytes=BODY_LIMIT_BYTES
        )

    @classmethod
    def from_settings(cls, session: aiohttp.ClientSession, settings: Settings) -> Self:
        """Build the client that the environment describes."""
        return cls(
            session,
            base_url=settings.apollo_base_url,
            timeout_seconds=settings.provider_timeout_seconds,
        )

    def needs(self, lookup: Lookup) -> str | None:
        """See `EnrichmentProvider.needs`. A name alone matches strangers, and they are paid for."""
        person = lookup.person
        if person.email or person.linkedin_url or (person.has_name and person.has_company):
            return None
        return "Apollo needs an e-mail, a LinkedIn address, or a name with the company."

    async def look_up(
        self, lookups: Sequence[Lookup], key_secret: str, *, callback_url: str | None = None
    ) -> list[Outcome]:
        """See `EnrichmentProvider.look_up`. What is pending is named by Apollo's id of the person."""
        asked = sendable(self, lookups)
        sent = list(asked.values())
        if not sent:
            return in_order(self, lookups, {})
        extra = _later(sent, callback_url)
        headers = {"x-api-key": key_secret, "Accept": "application/json"}
        if len(sent) == 1:
            body = {**_details(sent[0]), **extra}
            reply = await self._caller.call(
                "POST", self._people_url + "match", body=body, headers=headers
            )
            outcomes = [apollo_answers.read_single(reply, sent[0], calls_back=bool(extra))]
        else:
            body = {"details": [_details(lookup) for lookup in sent], **extra}
            reply = await self._caller.call(
                "POST", self._people_url + "bulk_match", body=body, headers=headers
            )
            outcomes = apollo_answers.read_bulk(reply, sent, calls_back=bool(extra))
        return in_order(self, lookups, dict(zip(asked, outcomes, strict=True)))

    def read_callback(self, body: bytes, asked: Mapping[str, Lookup]) -> dict[str, Outcome]:
        """See `LateProvider.read_callback`. Apollo signs nothing: check the address's token first."""
        return apollo_answers.read_callback(body, asked)


def _details(lookup: Lookup) -> dict[str, Any]:
    known = {theirs: getattr(lookup.person, ours) for ours, theirs in _DETAILS}
    return {name: value for name, value in known.items() if value}


def _later(lookups: Sequence[Lookup], callback_url: str | None) -> dict[str, Any]:
    """The parameters that ask for a later call; none when nothing wanted could come in it."""
    flags = {
        "run_waterfall_email": any(_lacks_email(lookup) for lookup in lookups),
        "reveal_phone_number": any(Kind.PHONE in lookup.wanted for lookup in lookups),
    }
    asked = {name: True for name, is_asked in flags.items() if is_asked}
    return {**asked, "webhook_url": callback_url} if callback_url and asked else {}


def _lacks_email(lookup: Lookup) -> bool:
    return Kind.EMAIL in lookup.wanted and not lookup.person.email
