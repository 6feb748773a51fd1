"""A web process that has more connections than another leaves a new one to it for a moment, and takes what is still there then."""

import selectors
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.config import Config

from app.http import worker as module
from app.http.balance import Balance
from app.http.worker import PatientWorker

SELF, OTHER = 1, 2


class Listening(PatientWorker):
    """The worker with its real loop and listener; what it accepts goes to a list, not to a thread."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(SELF, 0, [listener], None, 30, Config(), None)
        self.accepted: list[Any] = []
        self.poller = selectors.DefaultSelector()

    def enqueue_req(self, conn: Any) -> None:
        """Keep what was accepted."""
        self.accepted.append(conn)

    def is_listening(self) -> bool:
        """Whether it asks for new connections."""
        return bool(self.poller.get_map())


@pytest.fixture
def balance(monkeypatch: pytest.MonkeyPatch) -> Balance:
    made = Balance()
    monkeypatch.setattr(module, "_balance", made)
    return made


@pytest.fixture
def worker(balance: Balance) -> Iterator[Listening]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Listening(listener)
        made.set_accept_enabled(True)
        made.nr_conns = 5
        yield made
        for conn in made.accepted:
            conn.close()
        made.poller.close()


@pytest.fixture
def caller(worker: Listening) -> Iterator[socket.socket]:
    with socket.create_connection(worker.sockets[0].getsockname()) as made:
        yield made


@pytest.mark.usefixtures("caller")
def test_it_is_taken_at_once_where_nobody_has_fewer(worker: Listening, balance: Balance) -> None:
    balance.tell(OTHER, 5)
    worker.wait_for_and_dispatch_events(10.0)
    assert (len(worker.accepted), worker.nr_conns) == (1, 6)


@pytest.mark.usefixtures("caller")
def test_it_is_left_to_who_has_fewer_and_then_taken_if_nobody_came(
    worker: Listening, balance: Balance
) -> None:
    balance.tell(OTHER, 0)
    worker.wait_for_and_dispatch_events(10.0)
    assert (worker.accepted, worker.is_listening()) == ([], False)
    worker.wait_for_and_dispatch_events(10.0)
    assert (len(worker.accepted), worker.is_listening()) == (1, True)


def test_it_goes_on_where_the_other_took_it(
    worker: Listening, balance: Balance, caller: socket.socket
) -> None:
    balance.tell(OTHER, 0)
    worker.wait_for_and_dispatch_events(10.0)
    taken, _ = worker.sockets[0].accept()
    with taken:
        worker.wait_for_and_dispatch_events(10.0)
    assert (worker.accepted, worker.is_listening()) == ([], True)


@pytest.mark.usefixtures("caller")
def test_it_can_cease_while_it_leaves_one(worker: Listening, balance: Balance) -> None:
    balance.tell(OTHER, 0)
    worker.wait_for_and_dispatch_events(10.0)
    worker.alive = True
    worker.ppid = module.os.getppid()
    worker.set_accept_enabled(False)
    assert not worker.is_listening()
    worker.wait_for_and_dispatch_events(0.0)
    assert worker.accepted == []
