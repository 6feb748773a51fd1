"""Take a connection away from the thread that read its request, and keep it open without a thread.

A view returns `HandedOverResponse`; the worker (`app/http/worker.py`) catches what that raises where the answer would be
written, and gives the socket away instead of closing it. Everything before it is an ordinary request: who asks, limits,
headers, the line in the log. Only that worker offers it, and only for a plain HTTP/1.1 connection.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NoReturn

from flask import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: Gets the head of the answer, not yet sent, and the socket, which is its own from then on.
Taker = Callable[[bytes, socket.socket], None]
_offered: ContextVar[bool] = ContextVar("handover_offered", default=False)


class HandedOver(Exception):
    """Raised where an answer would be sent: the connection goes to `take` instead."""

    def __init__(self, head: bytes, take: Taker) -> None:
        super().__init__("handed over")
        self._head = head
        self._take = take

    def take(self, sock: socket.socket) -> None:
        """Give the socket away, together with the head to send first."""
        self._take(self._head, sock)


@contextmanager
def offered() -> Iterator[None]:
    """Say that connections can be handed over while this thread serves one."""
    token = _offered.set(True)
    try:
        yield
    finally:
        _offered.reset(token)


def is_offered() -> bool:
    """Whether the server of this request can hand its connection over."""
    return _offered.get()


class HandedOverResponse(Response):
    """An answer without a body of its own: its connection goes to `take`, which sends what it likes and closes it."""

    def __init__(self, take: Taker, mimetype: str) -> None:
        super().__init__(mimetype=mimetype)
        self._take = take

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> NoReturn:  # noqa: ARG002 - WSGI
        """Raise `HandedOver` with the head."""
        headers = self.get_wsgi_headers(environ)
        # The end of the connection is the end of the answer.
        headers.pop("Content-Length", None)
        headers["Connection"] = "close"
        lines = [
            f"HTTP/1.1 {self.status}",
            *(f"{name}: {value}" for name, value in headers.to_wsgi_list()),
        ]
        raise HandedOver(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), self._take)
