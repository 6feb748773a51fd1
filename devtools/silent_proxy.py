"""A TCP proxy for tests that can go silent, as a network does when a cable is pulled.

Silent means: connections stay open, new ones are accepted, and nothing is forwarded in either
direction. `heal` forwards what was held back and goes on; `cut` resets every connection.
"""

import contextlib
import selectors
import socket
import struct
import threading
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536


class SilentProxy:
    """Forwards 127.0.0.1:`port` to 127.0.0.1:`target` until told otherwise. A thread of its own."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._talking = threading.Event()
        self._talking.set()
        self._closed = False
        self._mutex = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        self._talking.set()
        # Closing a socket does not wake who waits in accept; a last caller does.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._listener.close()
        self.cut()
        self._thread.join(timeout=5)

    def go_silent(self) -> None:
        """Forward nothing from now on, and close nothing."""
        self._talking.clear()

    def heal(self) -> None:
        """Forward again, first what was held back."""
        self._talking.set()

    def cut(self) -> None:
        """Reset every connection; new ones are accepted."""
        with self._mutex:
            sockets, self._sockets = self._sockets, set()
        for end in sockets:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)

    @property
    def connections(self) -> int:
        """How many connections are open through the proxy."""
        with self._mutex:
            return len(self._sockets) // 2

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._closed:
                client.close()
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._talking.wait()
        try:
            server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
        except OSError:
            client.close()  # the target is down: the caller sees what it would see without us
            return
        server.settimeout(None)
        with self._mutex:
            self._sockets |= {client, server}
        try:
            self._forward(client, server)
        except OSError:
            return  # reset by one side or by `cut`; both ends are closed below
        finally:
            with self._mutex:
                self._sockets -= {client, server}
            client.close()
            server.close()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        with selectors.DefaultSelector() as selector:
            for end in other:
                selector.register(end, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    source = client if key.fileobj is client else server
                    data = source.recv(CHUNK_BYTES)
                    self._talking.wait()
                    if not data:
                        return
                    other[source].sendall(data)
