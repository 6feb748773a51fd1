"""The Clearbit client: combined/find by e-mail, for accounts that still have a key of the legacy API.

Off by default: no key was given out after 2023. The key goes in the header Authorization (Basic, the key as user).
"""

import base64
import secrets
from collections.abc import Mapping, Sequence
from typing import Final, Self

import aiohttp

from app.enrichment.lookup import Kind, Lookup
from app.enrichment.provider import Outcome, only
from app.enrichment.providers import clearbit_answers
from app.provider_calls import Caller
from app.provider_errors import Rejected
from app.settings import Settings

#: No honest answer comes near it; what is longer is refused unread.
BODY_LIMIT_BYTES: Final = 1024 * 1024


class Clearbit:
    """Satisfies `LateProvider` for Clearbit's legacy Enrichment API."""

    name = clearbit_answers.NAME
    max_batch = 1
    finds = frozenset({Kind.COMPANY, Kind.SOCIAL, Kind.PHONE, Kind.PERSON})

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str = "https://person.clearbit.com",
        timeout_seconds: float = 30.0,
    ) -> None:
        self._url = base_url.rstrip("/") + "/v2/combined/find"
        self._caller = Caller(
            session, timeout_seconds=timeout_seconds, body_limit_bytes=BODY_LIMIT_BYTES
        )

    @classmethod
    def from_settings(cls, session: aiohttp.ClientSession, settings: Settings) -> Self:
        """Build the client that the environment describes."""
        return cls(
            session,
            base_url=settings.clearbit_base_url,
            timeout_seconds=settings.provider_timeout_seconds,
        )

    def needs(self, lookup: Lookup) -> str | None:
        """See `EnrichmentProvider.needs`. combined/find knows people by e-mail only."""
        return None if lookup.person.email else "Clearbit needs an e-mail."

    async def look_up(
        self, lookups: Sequence[Lookup], key_secret: str, *, callback_url: str | None = None
    ) -> list[Outcome]:
        """See `EnrichmentProvider.look_up`. What is pending is named by an id made here for the call."""
        lookup = only(self, lookups)
        if (lack := self.needs(lookup)) is not None:
            return [Rejected(lack)]
        query, webhook_id = {"email": lookup.person.email}, None
        if callback_url:
            webhook_id = secrets.token_urlsafe(24)
            query |= {"webhook_url": callback_url, "webhook_id": webhook_id}
        reply = await self._caller.call(
            "GET", self._url, query=query, headers=_authorize(key_secret)
        )
        return [clearbit_answers.read_reply(reply, lookup, webhook_id=webhook_id)]

    def read_callback(self, body: bytes, asked: Mapping[str, Lookup]) -> dict[str, Outcome]:
        """See `LateProvider.read_callback`. Check `signatures.verify_clearbit` first."""
        return clearbit_answers.read_callback(body, asked)


def _authorize(key_secret: str) -> dict[str, str]:
    login = base64.b64encode(f"{key_secret}:".encode()).decode()
    return {"Authorization": f"Basic {login}"}
