"""When a call really leaves: not when its turn came, but when it had its connection.

Making a connection takes a round trip or three, a busy loop its own time. What waits for the moment puts a callback into
`departed` before the call; the connector of the process's session calls it when the request is about to be written.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from aiohttp.client import ClientTimeout
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

#: What the call of the present task calls as it leaves.
departed: ContextVar[Callable[[], None] | None] = ContextVar("departed", default=None)


class NotingConnector(aiohttp.TCPConnector):
    """A TCP connector that says when it has handed out a connection, new or kept."""

    async def connect(
        self,
        req: "ClientRequest",
        traces: list["Trace"],
        timeout: "ClientTimeout",  # noqa: ASYNC109 - aiohttp's own signature
    ) -> "Connection":
        """Return a connection for the request and note the departure."""
        connection = await super().connect(req, traces, timeout)
        if note := departed.get():
            note()
        return connection
