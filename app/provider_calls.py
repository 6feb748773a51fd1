"""One call to a vendor, made as carefully for all of them.

A call is made once, within its deadline, to the address that was given and to no other; its body is read up to a
bound. Whatever goes wrong on the way is `Unavailable`. Addresses and headers carry keys and people's names, so
no text of an aiohttp error, which may quote one, ever leaves this file.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import orjson

from app.deadlines import Deadlines
from app.provider_errors import Unavailable

#: aiohttp's own timers are off: `Deadlines` holds the deadline, for connecting too.
NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)
_LONGEST_WAIT_SECONDS = 86_400
#: A provider that does not even connect within this time does not hold up the first chunk longer.
AHEAD_SECONDS: Final = 3.0


@dataclass(slots=True)
class Reply:
    """What came back. `headers` can be asked in any case of letters."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def retry_after(self) -> str | None:
        """The header Retry-After as it came."""
        return self.headers.get("Retry-After")


class Caller:
    """Makes calls over a session that somebody else owns and closes."""

    def __init__(
        self, session: aiohttp.ClientSession, *, timeout_seconds: float, body_limit_bytes: int
    ) -> None:
        self._session = session
        self._deadlines = Deadlines(timeout_seconds)
        self._body_limit_bytes = body_limit_bytes

    async def call(
        self,
        method: str,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Make one call; `body` goes as JSON. Raises `Unavailable` only.

        The error is raised after the `except` blocks, so that the aiohttp error (and the URL in it) is
        not even its hidden context. Redirects are not followed: they would carry the key elsewhere.
        """
        try:
            with self._deadlines.begin():
                async with self._session.request(
                    method,
                    url,
                    params=query,
                    json=body,
                    headers=headers,
                    allow_redirects=False,
                    middlewares=_SEND_ONCE,
                    timeout=NO_TIMEOUT,
                ) as response:
                    content = await _read_body(response, self._body_limit_bytes)
                    if content is not None:
                        return Reply(response.status, content, response.headers)
                    problem = f"The answer is longer than {self._body_limit_bytes // 1024} KB."
        except TimeoutError:
            problem = f"No answer within {self._deadlines.seconds:g} s."
        except aiohttp.ClientConnectorError:
            problem = "The provider can't be reached."
        except (aiohttp.ClientError, OSError, ValueError) as error:
            problem = f"The connection failed ({type(error).__name__})."
        raise Unavailable(problem)


async def open_ahead(session: aiohttp.ClientSession, root_url: str) -> None:
    """Open a connection before the first call, by a request that names no key and costs nothing. Raises nothing.

    A process's first request loads code, resolves the name and connects. The call that had to wait for
    that would arrive later than its moment, and the next one on its key too soon after it: a 429.
    """
    try:
        async with (
            asyncio.timeout(AHEAD_SECONDS),
            session.head(root_url, allow_redirects=False, timeout=NO_TIMEOUT),
        ):
            pass
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
        return  # whether the provider answers is the first call's business


def read_object(body: bytes) -> dict[str, object]:
    """Parse a JSON object. Raises `Unavailable` without repeating the body."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = _parse_leniently(body)
    if not isinstance(parsed, dict):
        raise Unavailable("The answer is not the JSON that was expected.")
    return parsed


def _parse_leniently(body: bytes) -> object:
    """Parse what is not quite JSON, as with a NaN in it: an answer that was paid for is not lost for that. None: it can't be."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def parse_header(value: str | None) -> int | None:
    """Read a Retry-After header given in seconds (RFC 9110, 10.2.3); a date counts as not said."""
    if value is None or not value.strip().isdecimal():
        return None
    return min(int(value.strip()[:9]), _LONGEST_WAIT_SECONDS)


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


_SEND_ONCE: Final = (_send_once,)


async def _read_body(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes | None:
    """Read the body, or give up on one over the limit (also one that only unpacks to that) with None."""
    body = bytearray()
    while not response.content.at_eof():
        body += await response.content.readany()
        if len(body) > limit_bytes:
            response.close()
            return None
    return bytes(body)
