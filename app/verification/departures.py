"""When a call really leaves: not when its turn came, but when it was written to its connection.

Making a connection takes a round trip or three, a busy loop or machine its own time. What waits for the moment puts a
callback into `departed` before the call; the requests of the process's session call it once they are written.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientResponse
    from aiohttp.connector import Connection

#: What the call of the present task calls as it leaves.
departed: ContextVar[Callable[[], None] | None] = ContextVar("departed", default=None)


class NotingRequest(aiohttp.ClientRequest):
    """A request that says when it has been written; one without a body is written at once, whole."""

    async def send(self, conn: "Connection") -> "ClientResponse":
        """Write the request and note the departure, also of one that may have been written in part."""
        try:
            return await super().send(conn)
        finally:
            if note := departed.get():
                note()
