"""The calls to MailTester Ninja: one address, one call, one answer or one of four errors.

It speaks both of the vendor's contracts: `key` (the key goes with each call) and `token` (a day's token is
fetched first). The session is the process's own and is not closed here. Keys travel in the query string
because the vendor wants them there, so nothing of a URL ever leaves this file.
"""

from typing import Literal, Self

import aiohttp

from app.mailtester.answers import Checked, raise_for_status, read_answer
from app.mailtester.tokens import TokenCache
from app.provider_calls import Caller, Reply, open_ahead, read_object
from app.provider_errors import NotReady, Unavailable
from app.settings import Settings

#: No honest answer comes near it; what is longer is refused unread.
BODY_LIMIT_BYTES = 64 * 1024

Contract = Literal["key", "token"]


class MailTesterCalls:
    """Asks about addresses, with the contract that the installation has."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str,
        token_url: str,
        contract: Contract = "key",
        timeout_seconds: float = 30.0,
    ) -> None:
        self._session = session
        self._root_url = base_url.rstrip("/") + "/"
        self._verify_url = self._root_url + "ninja"
        self._token_url = token_url
        self._contract = contract
        self._caller = Caller(
            session, timeout_seconds=timeout_seconds, body_limit_bytes=BODY_LIMIT_BYTES
        )
        self._tokens = TokenCache(self._fetch_token)

    @classmethod
    def from_settings(cls, session: aiohttp.ClientSession, settings: Settings) -> Self:
        """Build the client that the environment describes."""
        return cls(
            session,
            base_url=settings.mailtester_base_url,
            token_url=settings.mailtester_token_url,
            contract=settings.mailtester_contract,
            timeout_seconds=settings.provider_timeout_seconds,
        )

    async def prepare(self, key_secret: str) -> None:
        """Fetch the key's token where the contract needs one. Raises `ProviderError`."""
        if self._contract == "token":
            await self._tokens.prepare(key_secret)

    async def open_ahead(self) -> None:
        """Open a connection before the first call, without a key and at no cost. Raises nothing."""
        await open_ahead(self._session, self._root_url)

    async def check(self, email: str, key_secret: str) -> Checked:
        """Ask about `email`, within the deadline. Raises `ProviderError`; makes one call at most.

        With the token contract and no token at hand it fetches one and raises `NotReady`: a call made
        after that wait would arrive at a moment that was reserved for another one.
        """
        if self._contract == "key":
            reply = await self._get(self._verify_url, {"email": email, "key": key_secret})
            return self._read(reply, hide=key_secret)
        token = self._tokens.ready(key_secret)
        if token is None:
            await self._tokens.prepare(key_secret)
            raise NotReady("A token was fetched first.", retry_after=0)
        reply = await self._get(self._verify_url, {"email": email, "token": token.value})
        if reply.status == 401:
            self._tokens.refuse(key_secret, token)
        answer = self._read(reply, hide=token.value)
        token.has_worked = True
        return answer

    async def _fetch_token(self, key_secret: str) -> str:
        reply = await self._get(self._token_url, {"key": key_secret})
        if reply.status != 200:
            raise_for_status(reply.status, reply.body, reply.retry_after)
        token = read_object(reply.body).get("token")
        if not isinstance(token, str) or not token:
            raise Unavailable("The provider sent no token.")
        return token

    @staticmethod
    def _read(reply: Reply, *, hide: str) -> Checked:
        if reply.status != 200:
            raise_for_status(reply.status, reply.body, reply.retry_after)
        return read_answer(reply.body, hide=hide)

    async def _get(self, url: str, query: dict[str, str]) -> Reply:
        return await self._caller.call("GET", url, query=query)
