"""One attempt at one delivery: a POST to a checked address, and its answer read to a bound.

Never raises for what a receiver, DNS or the network does: each is an answer that says why. The status decides; a body that
comes slowly or not at all does not make a delivery fail.
"""

import asyncio
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import aiohttp

from app.errors import InvalidInput
from app.webhooks.addresses import AddressRefused, AddressRule
from app.webhooks.schedule import Answer

#: Bytes of an answer that are kept for people.
KEPT_BYTES = 1024
#: What is read to have the connection free again; a longer answer closes it.
READ_BYTES = 16 * 1024
BODY_SECONDS = 1.0


async def send(
    session: aiohttp.ClientSession,
    rule: AddressRule,
    url: str,
    body: str,
    headers: Mapping[str, str],
    *,
    seconds: float,
) -> Answer:
    """POST `body`; return the answer, or why there is none after at most `seconds` (and one more for the body)."""
    started = time.perf_counter()

    def answer(status: int | None = None, **more: object) -> Answer:
        return Answer(status, round((time.perf_counter() - started) * 1000), **more)  # type: ignore[arg-type]

    try:
        rule.check(url, "the address")
    except InvalidInput as error:
        return answer(error=f"Not sent: {error.message}", is_final=True)
    try:
        async with asyncio.timeout(seconds):
            response = await session.post(
                url, data=body.encode(), headers=headers, allow_redirects=False, timeout=_NO_OTHER
            )
    except TimeoutError:
        return answer(error=f"No answer within {seconds:g} s.")
    except aiohttp.InvalidURL:
        return answer(error="Not sent: the address can't be read.", is_final=True)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return answer(error=_in_words(error))
    status, retry_after = response.status, _seconds(response.headers.get("Retry-After"))
    ms = answer().ms
    return Answer(status, ms, body=await _read(response), retry_after=retry_after)


#: The timeout is asyncio's, around all of it.
_NO_OTHER = aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None)


async def _read(response: aiohttp.ClientResponse) -> str:
    """Return the beginning of the body and give the connection back; close it when the body is long or slow."""
    kept = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while len(kept) < READ_BYTES and (piece := await response.content.read(READ_BYTES)):
                kept += piece
    except (TimeoutError, aiohttp.ClientError, OSError):
        response.close()
    if response.content.at_eof():
        response.release()
    else:
        response.close()
    return kept[:KEPT_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd")


def _in_words(error: Exception) -> str:
    if refused := _refusal(error):
        return f"Not sent: {refused}."
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "The name of the receiver could not be looked up."
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError):
        return f"The receiver's certificate was not accepted: {str(error)[:300]}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "The receiver could not be reached."
    return f"The answer could not be read: {type(error).__name__}."


def _refusal(error: BaseException | None) -> AddressRefused | None:
    """Return the refusal in an error, in its causes, or in a group of them."""
    while error is not None:
        if isinstance(error, AddressRefused):
            return error
        inner = getattr(error, "os_error", None)
        group = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        for one in (inner, *group):
            if isinstance(one, BaseException) and one is not error and (found := _refusal(one)):
                return found
        error = error.__cause__
    return None


def _seconds(value: str | None) -> float | None:
    """Return Retry-After in seconds: a number or a date (RFC 9110). None for anything else, or for the past."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time()) or None
    except (ValueError, TypeError, OverflowError):
        return None
