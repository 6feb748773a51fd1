"""MailTester's older contract: a token a key, fetched once, good for about a day.

At most one fetch a key is under way, however many calls wait for it. Keys are held as fingerprints, and
no error repeats a key or a token.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.provider_errors import NotReady, Unauthorized

#: The vendor says about 24 h; renewing earlier keeps a token from running out in mid-call.
TOKEN_SECONDS = 23 * 3600.0


@dataclass(slots=True)
class Token:
    """A token, when to renew it (monotonic seconds), and whether a call with it was ever accepted."""

    value: str
    renew_at: float
    has_worked: bool = False

    def __repr__(self) -> str:
        return f"<Token …{self.value[-4:]}>"


class TokenCache:
    """Tokens of one process, by key. `fetch` asks the provider; `clock` is monotonic seconds."""

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[str]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._tokens: dict[str, Token] = {}
        self._flights: dict[str, asyncio.Task[None]] = {}

    def ready(self, key_secret: str) -> Token | None:
        """Return the key's token if it is good to use now."""
        token = self._tokens.get(_fingerprint(key_secret))
        return token if token is not None and self._clock() < token.renew_at else None

    async def prepare(self, key_secret: str) -> None:
        """See to it that `ready` has a token, fetching one if needed. Raises what `fetch` raises."""
        if self.ready(key_secret) is not None:
            return
        name = _fingerprint(key_secret)
        flight = self._flights.get(name)
        if flight is None:
            flight = asyncio.create_task(self._renew(name, key_secret))
            self._flights[name] = flight
            flight.add_done_callback(lambda done: self._land(name, done))
        # A waiter that is cancelled must not take the others' fetch with it.
        await asyncio.shield(flight)

    def refuse(self, key_secret: str, token: Token) -> None:
        """Forget a token that was answered 401, and raise what that means.

        A token that worked before has run out: `NotReady`. One that never worked says that the key is
        not accepted: `Unauthorized`. A token that another call renewed meanwhile stays.
        """
        name = _fingerprint(key_secret)
        if self._tokens.get(name) is token:
            del self._tokens[name]
        if token.has_worked:
            raise NotReady("The token ran out.", retry_after=0)
        raise Unauthorized("The key was refused (HTTP 401 for a new token).")

    async def _renew(self, name: str, key_secret: str) -> None:
        value = await self._fetch(key_secret)
        self._tokens[name] = Token(value, self._clock() + TOKEN_SECONDS)

    def _land(self, name: str, flight: asyncio.Task[None]) -> None:
        self._flights.pop(name, None)
        if not flight.cancelled():
            flight.exception()  # read, so that a flight without waiters is not reported as lost


def _fingerprint(key_secret: str) -> str:
    return hashlib.sha256(key_secret.encode()).hexdigest()
