"""The Hunter client: the Email Finder, one person a call.

The key goes in the header X-API-KEY, which Hunter takes as well as its query parameter: so it is in no URL and no
log of an address. Names are in the query, since the finder has no other form; no URL leaves `app.provider_calls`.
"""

from collections.abc import Sequence
from typing import Final, Self

import aiohttp

from app.enrichment.lookup import Kind, Lookup
from app.enrichment.provider import Outcome, only
from app.enrichment.providers.hunter_answers import NAME, read_reply
from app.provider_calls import Caller
from app.provider_errors import Rejected
from app.settings import Settings

#: No honest answer comes near it; what is longer is refused unread.
BODY_LIMIT_BYTES: Final = 1024 * 1024


class Hunter:
    """Satisfies `EnrichmentProvider` for hunter.io."""

    name = NAME
    max_batch = 1
    finds = frozenset({Kind.EMAIL, Kind.COMPANY, Kind.SOCIAL, Kind.PHONE, Kind.PERSON})

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str = "https://api.hunter.io",
        timeout_seconds: float = 30.0,
    ) -> None:
        self._url = base_url.rstrip("/") + "/v2/email-finder"
        self._caller = Caller(
            session, timeout_seconds=timeout_seconds, body_limit_bytes=BODY_LIMIT_BYTES
        )

    @classmethod
    def from_settings(cls, session: aiohttp.ClientSession, settings: Settings) -> Self:
        """Build the client that the environment describes."""
        return cls(
            session,
            base_url=settings.hunter_base_url,
            timeout_seconds=settings.provider_timeout_seconds,
        )

    def needs(self, lookup: Lookup) -> str | None:
        """See `EnrichmentProvider.needs`. Source: the required parameters of the finder."""
        if not lookup.person.has_name:
            return "Hunter needs a first and a last name."
        if not lookup.person.has_company:
            return "Hunter needs the company's domain or name."
        return None

    async def look_up(
        self,
        lookups: Sequence[Lookup],
        key_secret: str,
        *,
        callback_url: str | None = None,  # noqa: ARG002 - Hunter calls nobody back; part of the interface
    ) -> list[Outcome]:
        """See `EnrichmentProvider.look_up`."""
        lookup = only(self, lookups)
        if (lack := self.needs(lookup)) is not None:
            return [Rejected(lack)]
        reply = await self._caller.call(
            "GET", self._url, query=_query(lookup), headers={"X-API-KEY": key_secret}
        )
        return [read_reply(reply, lookup)]


def _query(lookup: Lookup) -> dict[str, str]:
    """The finder's parameters: the domain if it is known, since a company's name has to be guessed from."""
    person = lookup.person
    company = {"domain": person.domain} if person.domain else {"company": person.company}
    if person.first_name and person.last_name:
        return {**company, "first_name": person.first_name, "last_name": person.last_name}
    return {**company, "full_name": person.full_name}
