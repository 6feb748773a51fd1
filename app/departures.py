"""When a call really leaves: not when its turn came, but when it was written to its connection.

Making a connection takes a round trip or three, a busy loop or machine its own time. What waits for the moment puts a
callback into `departed` before the call; the requests of the process's session call it once they are written.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.client_reqrep import ClientResponse
    from aiohttp.connector import Connection

#: What the call of the present task calls as it leaves.
departed: ContextVar[Callable[[], None] | None] = ContextVar("departed", default=None)


class NotingRequest(aiohttp.ClientRequest):
    """A request that says when it has been written; one without a body is written at once, whole.

    A body may follow in a task of its own (before Python 3.12 it always does): its end is the departure then.
    """

    _is_noted = False

    async def send(self, conn: "Connection") -> "ClientResponse":
        """Write the request and note the departure, also of one that may have been written in part."""
        try:
            response = await super().send(conn)
        except BaseException:
            self._note()
            raise
        if not self.body:
            self._note()
        return response

    async def write_bytes(
        self, writer: "AbstractStreamWriter", conn: "Connection", content_length: int | None = None
    ) -> None:
        """Write the body and note the departure, as `send` does."""
        try:
            await super().write_bytes(writer, conn, content_length)
        finally:
            self._note()

    def _note(self) -> None:
        note = departed.get()
        if note and not self._is_noted:
            self._is_noted = True
            note()
