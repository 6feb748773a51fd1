"""The client of Hunter's Email Verifier: one address, one call, one answer or an error.

The key goes in the header X-API-KEY, so it is in no URL and no log of one. The address is in the query, since the
verifier has no other form; no URL leaves `app.provider_calls`.
"""

from typing import Final, Self

import aiohttp

from app.provider_calls import Caller, open_ahead
from app.settings import Settings
from app.verification.hunter_answers import NAME, read_reply
from app.verification.provider import Answer

#: No honest answer comes near it; what is longer is refused unread. An answer lists where the address was seen.
BODY_LIMIT_BYTES: Final = 1024 * 1024


class HunterVerifier:
    """Satisfies `VerificationProvider` for hunter.io."""

    name = NAME

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str = "https://api.hunter.io",
        timeout_seconds: float = 30.0,
    ) -> None:
        self._session = session
        self._root_url = base_url.rstrip("/") + "/"
        self._verify_url = self._root_url + "v2/email-verifier"
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

    async def prepare(self, key_secret: str) -> None:
        """Do nothing: a key is all that a call needs."""

    async def open_ahead(self) -> None:
        """See `VerificationProvider.open_ahead`."""
        await open_ahead(self._session, self._root_url)

    async def verify(self, email: str, key_secret: str) -> Answer:
        """Ask about `email`, within the deadline. Raises `ProviderError`; makes one call."""
        reply = await self._caller.call(
            "GET", self._verify_url, query={"email": email}, headers={"X-API-KEY": key_secret}
        )
        return read_reply(reply)
