"""The proxy that goes silent: nothing passes, nothing closes, and nothing is lost on healing."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from devtools.ports import find_free_port
from devtools.silent_proxy import SilentProxy


@contextmanager
def echo_server() -> Iterator[int]:
    """Answer every connection with what it sends."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(ConnectionResetError):
            while data := connection.recv(1024):
                connection.sendall(data)

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


@pytest.fixture
def proxy() -> Iterator[SilentProxy]:
    with echo_server() as target, SilentProxy(target) as running:
        yield running


def connect(proxy: SilentProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def ask(client: socket.socket, question: bytes) -> bytes:
    client.sendall(question)
    return client.recv(1024)


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1024) == b""
    except ConnectionError:
        return True


def test_it_forwards_both_ways(proxy: SilentProxy) -> None:
    with connect(proxy) as client:
        assert ask(client, b"one") == b"one"
        assert proxy.connections == 1


def test_silence_holds_back_and_healing_delivers(proxy: SilentProxy) -> None:
    with connect(proxy) as client:
        assert ask(client, b"one") == b"one"
        proxy.go_silent()
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            ask(client, b"two")
        with connect(proxy) as newcomer:  # accepted, as by a host whose answers are lost
            newcomer.settimeout(0.2)
            with pytest.raises(TimeoutError):
                ask(newcomer, b"hello")
        client.settimeout(10)
        proxy.heal()
        assert client.recv(1024) == b"two"


def test_a_cut_ends_connections_and_takes_new_ones(proxy: SilentProxy) -> None:
    with connect(proxy) as client:
        assert ask(client, b"one") == b"one"
        proxy.cut()
        assert is_closed(client)
    with connect(proxy) as client:
        assert ask(client, b"two") == b"two"


def test_a_dead_target_closes_the_connection() -> None:
    with SilentProxy(find_free_port()) as proxy, connect(proxy) as client:
        assert client.recv(1024) == b""
