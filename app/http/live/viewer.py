"""One open stream: a socket that is written to and otherwise left alone."""

import asyncio
import random
from collections.abc import Callable
from typing import cast
from uuid import UUID

from app.accounts.users import Account

#: A viewer who does not take what is sent is let go; with what it saw last it can come back.
UNSENT_BYTES = 256 * 1024
#: A stream ends after about an hour, so that viewers spread over web processes again and their session is renewed.
LIFE_SECONDS = 3_600.0


class Viewer(asyncio.Protocol):
    """Made in the thread of the request, used on the loop only. `look` tells whether its person may still watch."""

    def __init__(
        self, tenant_id: UUID, look: Callable[[], Account | None], last_id: int | None
    ) -> None:
        self.tenant_id = tenant_id
        self.last_id = last_id
        self.checked_at = self.sent_at = 0.0
        self.is_checking = False
        self.ends_at = 0.0
        self._look = look
        self._transport: asyncio.Transport | None = None
        self._greeting = b""
        self._on_gone: Callable[[Viewer], None] = lambda _: None

    def may_watch(self) -> bool:
        """Ask the database whether who connected may still see this client's jobs."""
        account = self._look()
        return account is not None and account.tenant_id == self.tenant_id

    def begin(self, now: float, greeting: bytes, on_gone: "Callable[[Viewer], None]") -> None:
        """Start the clocks (`now` is the loop's); the greeting is sent before anything else."""
        self._greeting, self._on_gone = greeting, on_gone
        self.checked_at = self.sent_at = now
        self.ends_at = now + LIFE_SECONDS * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out, and greet."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._greeting)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Tell that nobody listens any more."""
        self._on_gone(self)

    def send(self, data: bytes, now: float) -> None:
        """Send bytes, or let a viewer go who has not taken the last ones."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > UNSENT_BYTES:
            self._transport.abort()
            return
        self._transport.write(data)
        self.sent_at = now

    def end(self) -> None:
        """Close the stream after what is still to be sent."""
        if self._transport is not None:
            self._transport.close()
