"""A viewer of the stream of events, over a socket of its own: what a browser's EventSource does, and nothing more."""

import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

PATH = "/api/enrichment/jobs/events"


@dataclass(frozen=True)
class Event:
    """`data` is what the JSON says."""

    name: str
    id: str
    data: dict[str, Any]


@dataclass
class Stream:
    """An open stream. Reading waits for at most `patience` seconds, then fails: generous, for it only ends a test that fails."""

    sock: socket.socket
    patience: float = 60.0
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    last_id: str = ""
    _unread: bytes = b""

    @classmethod
    def open(cls, port: int, headers: Mapping[str, str], path: str = PATH) -> Self:
        """Connect and read the head of the answer."""
        stream = cls(socket.create_connection(("127.0.0.1", port), timeout=60))
        lines = [f"GET {path} HTTP/1.1", "Host: web", *(f"{k}: {v}" for k, v in headers.items())]
        stream.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return stream.read_head()

    def read_head(self) -> Self:
        """Read status and headers."""
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        self.status = int(head[0].split(" ")[1])
        self.headers = dict(line.split(": ", 1) for line in head[1:])
        return self

    def next(self) -> Event:
        """Return the next event. Raises `TimeoutError`, or `EOFError` at the stream's end."""
        lines = self._until(b"\n\n").decode().split("\n")
        fields = dict(line.split(": ", 1) for line in lines)
        self.last_id = fields["id"]
        return Event(fields["event"], fields["id"], json.loads(fields["data"]))

    def wait_for(self, name: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True) -> Event:
        """Return the next event of a name that fits; others are passed over."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            event = self.next()
            if event.name == name and fits(event.data):
                return event
        raise TimeoutError(name)

    def wait_for_any(self, *names: str) -> Event:
        """Return the next event of one of these names."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            event = self.next()
            if event.name in names:
                return event
        raise TimeoutError(", ".join(names))

    def is_over(self) -> bool:
        """Read to the end; tell whether there is one, after whole events, within the patience."""
        deadline = time.monotonic() + self.patience
        try:
            while time.monotonic() < deadline:
                self.next()
        except EOFError:
            return not self._unread
        return False

    def is_quiet(self, seconds: float) -> bool:
        """Tell whether nothing but heartbeats comes for so long."""
        deadline = time.monotonic() + seconds
        patience, self.patience = self.patience, seconds
        try:
            while (left := deadline - time.monotonic()) > 0:
                self.patience = left
                if self.next().name != "beat":
                    return False
        except TimeoutError:
            pass
        finally:
            self.patience = patience
        return True

    def close(self) -> None:
        """Go away."""
        self.sock.close()

    def _until(self, mark: bytes) -> bytes:
        deadline = time.monotonic() + self.patience
        while mark not in self._unread:
            self.sock.settimeout(max(0.001, deadline - time.monotonic()))
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError
            self._unread += piece
        found, self._unread = self._unread.split(mark, 1)
        return found
