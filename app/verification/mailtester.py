"""The MailTester Ninja client: one address, one call, one answer or one of four errors.

It speaks both of the vendor's contracts: `key` (the key goes with each call) and `token` (a day's token is
fetched first). The session is the process's own and is not closed here. Keys travel in the query string
because the vendor wants them there, so nothing of a URL, and no text of an aiohttp error, which may
contain one, ever leaves this file.
"""

import asyncio
from typing import Literal

import aiohttp

from app.provider_errors import NotReady, Unavailable
from app.settings import Settings
from app.verification.mailtester_answers import (
    NAME,
    raise_for_status,
    read_answer,
    read_object,
)
from app.verification.mailtester_tokens import TokenCache
from app.verification.provider import Answer

#: No honest answer comes near it; what is longer is refused unread.
BODY_LIMIT_BYTES = 64 * 1024

#: A provider that does not even connect within this time does not hold up the first chunk longer.
AHEAD_SECONDS = 3.0

#: aiohttp's own timers are off: `asyncio.timeout` holds the deadline, for connecting too.
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)

Contract = Literal["key", "token"]
Reply = tuple[int, bytes, str | None]


class MailTester:
    """Satisfies `VerificationProvider` for MailTester Ninja."""

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
        self._timeout_seconds = timeout_seconds
        self._tokens = TokenCache(self._fetch_token)

    @classmethod
    def from_settings(cls, session: aiohttp.ClientSession, settings: Settings) -> "MailTester":
        """Build the client that the environment describes."""
        return cls(
            session,
            base_url=settings.mailtester_base_url,
            token_url=settings.mailtester_token_url,
            contract=settings.mailtester_contract,
            timeout_seconds=settings.provider_timeout_seconds,
        )

    @property
    def name(self) -> str:
        return NAME

    async def prepare(self, key_secret: str) -> None:
        """Fetch the key's token where the contract needs one. Raises `ProviderError`."""
        if self._contract == "token":
            await self._tokens.prepare(key_secret)

    async def open_ahead(self) -> None:
        """Open a connection before the first call, by a request that names no key and costs nothing. Raises nothing.

        A process's first request loads code, resolves the name and connects. The call that had to wait for
        that would arrive later than its moment, and the next one on its key too soon after it: a 429.
        """
        try:
            async with (
                asyncio.timeout(AHEAD_SECONDS),
                self._session.head(self._root_url, allow_redirects=False, timeout=_NO_TIMEOUT),
            ):
                pass
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            return  # whether the provider answers is the first call's business

    async def verify(self, email: str, key_secret: str) -> Answer:
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
        if reply[0] == 401:
            self._tokens.refuse(key_secret, token)
        answer = self._read(reply, hide=token.value)
        token.has_worked = True
        return answer

    async def _fetch_token(self, key_secret: str) -> str:
        status, body, retry_after = await self._get(self._token_url, {"key": key_secret})
        if status != 200:
            raise_for_status(status, body, retry_after)
        token = read_object(body).get("token")
        if not isinstance(token, str) or not token:
            raise Unavailable("The provider sent no token.")
        return token

    @staticmethod
    def _read(reply: Reply, *, hide: str) -> Answer:
        status, body, retry_after = reply
        if status != 200:
            raise_for_status(status, body, retry_after)
        return read_answer(body, hide=hide)

    async def _get(self, url: str, query: dict[str, str]) -> Reply:
        """Make one GET. Raises `Unavailable` only.

        The error is raised after the `except` blocks, so that the aiohttp error (and the URL in it) is
        not even its hidden context. Redirects are not followed: they would carry the key elsewhere.
        """
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._session.get(
                    url,
                    params=query,
                    allow_redirects=False,
                    middlewares=(_send_once,),
                    timeout=_NO_TIMEOUT,
                ) as response,
            ):
                body = await _read_body(response)
                if body is not None:
                    return response.status, body, response.headers.get("Retry-After")
                problem = f"The answer is longer than {BODY_LIMIT_BYTES // 1024} KB."
        except TimeoutError:
            problem = f"No answer within {self._timeout_seconds:g} s."
        except aiohttp.ClientConnectorError:
            problem = "The provider can't be reached."
        except (aiohttp.ClientError, OSError, ValueError) as error:
            problem = f"The connection failed ({type(error).__name__})."
        raise Unavailable(problem)


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a GET whose connection broke: it would be a second, paid call
    that nobody reserved. It repeats on exactly these two errors, so they leave under another name.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
        raise aiohttp.ClientConnectionError from None


async def _read_body(response: aiohttp.ClientResponse) -> bytes | None:
    """Read the body, or give up on one over the limit (also one that only unpacks to that) with None."""
    body = b""
    while part := await response.content.readany():
        body += part
        if len(body) > BODY_LIMIT_BYTES:
            response.close()
            return None
    return body
