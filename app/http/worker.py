"""gunicorn's threaded worker, for clients that are slow or gone.

A thread reads one request at a time, and gunicorn waits for the rest of it without end: a handful of clients who send
half a header, or who went off the air in the middle of an upload, would keep every thread. Here a request that does not
come on is given up: its connection looks closed by the other side, so whatever reads it cleans up as it does then.
A view may also take a connection away from its thread (`app/http/handover.py`), as streams of events do. A process that is
asked to end lets go of those, and of driven work, before it waits for the requests in flight (`app/http/stopping.py`).
Of several processes the one with the fewest connections takes a new one (`app/http/balance.py`).
A proxy that reads requests whole before it hands them on is still the better guard against many clients who mean harm.
"""

import os
import selectors
import socket
import struct
import time
from typing import Any

from gunicorn.http.errors import InvalidChunkSize, ParseException
from gunicorn.workers.gthread import TConn, ThreadWorker
from werkzeug.exceptions import BadRequest

from app import collector
from app.http.balance import Balance
from app.http.handover import HandedOver, offered
from app.http.stopping import SEE_OFF_SECONDS

#: From the first byte of a request to the end of its header.
HEADER_SECONDS = 15.0
#: A body may take this long, and a second more for each so many bytes that have come.
BODY_SECONDS = 30.0
BODY_BYTES_PER_SECOND = 4096
#: A client that takes nothing of an answer for so long is gone.
SEND_SECONDS = 60

#: A process that has more connections than others leaves new ones to them for so long, then takes what is still there.
LEAVE_SECONDS = 0.005
#: Of this machine's web processes: gunicorn loads this module before they part.
_balance = Balance()


class BadChunks(BadRequest, InvalidChunkSize):  # type: ignore[misc] # gunicorn has no types
    """A chunked body that can't be read: 400 for the application, and the end of the connection where gunicorn reads on."""

    description = "The body's chunks are not well-formed."

    def __init__(self) -> None:
        InvalidChunkSize.__init__(self, b"")
        self.response = None


class _Body:
    """Reads gunicorn's body, and tells the worker how far it has come and when it is waited for."""

    def __init__(self, reader: Any, waiting: dict[TConn, float], conn: TConn) -> None:
        self._reader = reader
        self._waiting = waiting
        self._conn = conn
        self._allowed = BODY_SECONDS

    def read(self, size: int) -> bytes:
        """Return the next bytes, none at the end or when the client was given up.

        Raises `BadChunks`; gunicorn does not use the connection again then.
        """
        began = time.monotonic()
        self._waiting[self._conn] = began + self._allowed
        try:
            data: bytes = self._reader.read(size)
        except ParseException as error:
            raise BadChunks from error
        finally:
            self._waiting.pop(self._conn, None)
        # What the application does between two reads is not the client's time.
        self._allowed += len(data) / BODY_BYTES_PER_SECOND - (time.monotonic() - began)
        return data


def _leave_open(graceful: bool = False) -> None:  # noqa: FBT001, FBT002 - gunicorn's signature
    """Stand for the `close` of a connection that was given away."""


class PatientWorker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """Named by `--worker-class`; options and behaviour otherwise as gthread's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: The connections that a thread waits for, and until when.
        self._waiting: dict[TConn, float] = {}
        #: Until when new connections are left to other processes; 0: they are not.
        self._leaves_until = 0.0

    def run(self) -> None:
        """Serve until asked to end, then let the streams take what was written to them."""
        collector.calm()
        self.log.info("Worker is ready (pid: %s)", self.pid)
        super().run()
        if hub := self._extension("event_hub"):
            hub.wait_closed(SEE_OFF_SECONDS)

    def notify(self) -> None:
        """Say that this process is alive, to gunicorn and to the other processes."""
        super().notify()
        if self._accepting:
            _balance.tell(self.age, self.nr_conns)

    def accept(self, listener: Any) -> None:
        """Take a new connection, or leave it to a process that has fewer, for a moment."""
        if not self._leaves_until and _balance.has_more(self.age, self.nr_conns):
            self._leaves_until = time.monotonic() + LEAVE_SECONDS
            for each in self.sockets:
                self.poller.unregister(each)
            return
        super().accept(listener)
        _balance.tell(self.age, self.nr_conns)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Serve what happens; new connections again when they were left to others for long enough."""
        if not self._leaves_until:
            super().wait_for_and_dispatch_events(timeout)
            return
        left = self._leaves_until - time.monotonic()
        super().wait_for_and_dispatch_events(max(0.0, min(timeout, left)))
        if time.monotonic() >= self._leaves_until:
            self._look_at_listeners()
            # What is still there is taken, whoever has fewer.
            super().wait_for_and_dispatch_events(0)
            self._leaves_until = 0.0

    def _look_at_listeners(self) -> None:
        for listener in self.sockets:
            self.poller.register(listener, selectors.EVENT_READ, self.accept)

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - gunicorn's signature
        """Begin or cease to accept; the last time, before gunicorn waits for what is in flight, let go of the rest."""
        if self._leaves_until and self._accepting and not enabled:
            self._leaves_until = 0.0
            self._look_at_listeners()
        if not enabled:
            _balance.leave(self.age)
        super().set_accept_enabled(enabled)
        is_ending = not self.alive or self.ppid != os.getppid()
        if not enabled and is_ending and (stopping := self._extension("stopping")):
            stopping.let_go(self.wsgi)

    def _extension(self, name: str) -> Any:
        """Return a part of the application; None where gunicorn serves something else, as when ours could not be loaded."""
        return getattr(self.wsgi, "extensions", {}).get(name)

    def handle(self, conn: TConn) -> Any:
        """Serve what comes on a connection."""
        if not conn.initialized:
            conn.sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0)
            )
        self._waiting[conn] = time.monotonic() + HEADER_SECONDS
        try:
            return super().handle(conn)
        finally:
            self._waiting.pop(conn, None)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Serve one request whose header is whole."""
        self._waiting.pop(conn, None)
        req.body.reader = _Body(req.body.reader, self._waiting, conn)
        if self.cfg.is_ssl:
            return super().handle_request(req, conn)
        try:
            with offered():
                return super().handle_request(req, conn)
        except HandedOver as handed:
            # gunicorn counts the connection out and closes it: what it holds is an empty shell by then.
            conn.close = _leave_open
            handed.take(socket.socket(fileno=conn.sock.detach()))
            return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what went wrong with a request, unless it has its answer."""
        if isinstance(exc, BadChunks):
            # The application answers these itself. Here they are of a body that it did not read, as where nobody may call:
            # the connection is closed, because a second answer would be taken for the next request's.
            self.log.debug("The rest of a body was not well-formed.")
            return
        super().handle_error(req, client, addr, exc)

    def murder_pending(self) -> None:
        """Close what is overdue; gunicorn's loop asks once a second."""
        super().murder_pending()
        now = time.monotonic()
        for conn, until in list(self._waiting.items()):
            if until < now:
                try:
                    # Only what comes in: an answer may still say why.
                    conn.sock.shutdown(socket.SHUT_RD)
                except OSError as error:
                    self.log.debug("Already closed: %s", error)
