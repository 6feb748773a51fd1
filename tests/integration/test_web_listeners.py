"""A web process that leaves a connection to others has its listeners again afterwards, whatever comes in between."""

import os
import selectors
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from app.http import worker as web_worker
from app.http.balance import Balance
from app.http.worker import PatientWorker

OWN, OTHER = 1, 2


@pytest.fixture(autouse=True)
def other(monkeypatch: pytest.MonkeyPatch) -> Balance:
    """Another process, which keeps no connections; nobody waits for it for long."""
    balance = Balance()
    balance.tell(OTHER, 0)
    monkeypatch.setattr(web_worker, "_balance", balance)
    monkeypatch.setattr(web_worker, "LEAVE_SECONDS", 0.0)
    return balance


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=8)) for _ in range(2)
        ]


@pytest.fixture
def worker(listeners: list[socket.socket]) -> Iterator[PatientWorker]:
    """A worker that keeps five connections and looks at its listeners."""
    cfg = Config()
    made = PatientWorker(OWN, os.getppid(), listeners, None, 30, cfg, Logger(cfg))
    made.wsgi = None
    with ThreadPoolExecutor(2) as made.tpool, selectors.DefaultSelector() as made.poller:
        made.method_queue.init()
        made.nr_conns = 5
        made.set_accept_enabled(True)
        yield made
    made.method_queue.close()
    made.tmp.close()


@pytest.fixture
def callers(listeners: list[socket.socket]) -> None:
    """One caller for each listener, who has gone by the time somebody looks."""
    for each in listeners:
        socket.create_connection(each.getsockname()).close()


def looked_at(worker: PatientWorker) -> int:
    return sum(key.fileobj in worker.sockets for key in worker.poller.get_map().values())


@pytest.mark.usefixtures("callers")
def test_what_was_left_is_taken_when_nobody_came(worker: PatientWorker) -> None:
    worker.accept(worker.sockets[0])
    assert (worker.nr_conns, looked_at(worker)) == (5, 0)
    worker.wait_for_and_dispatch_events(0.0)
    assert (worker.nr_conns, looked_at(worker)) == (7, 2)


@pytest.mark.usefixtures("callers")
def test_of_two_listeners_that_have_somebody_both_are_looked_at_again(
    worker: PatientWorker,
) -> None:
    worker.wait_for_and_dispatch_events(1.0)
    # The first was left, and with it both; of the second it was known already.
    assert (worker.nr_conns, looked_at(worker)) == (6, 0)
    worker.wait_for_and_dispatch_events(0.0)
    assert (worker.nr_conns, looked_at(worker)) == (7, 2)


@pytest.mark.usefixtures("callers")
def test_to_accept_no_more_or_again_while_one_is_left(worker: PatientWorker) -> None:
    """As when it is asked to end, or has all the connections that it may have."""
    worker.accept(worker.sockets[0])
    worker.set_accept_enabled(False)
    assert looked_at(worker) == 0
    worker.wait_for_and_dispatch_events(0.0)
    assert (worker.nr_conns, looked_at(worker)) == (5, 0)
    worker.set_accept_enabled(True)
    assert looked_at(worker) == 2


@pytest.mark.usefixtures("callers")
def test_a_process_that_accepts_none_is_not_waited_for(
    worker: PatientWorker, other: Balance
) -> None:
    other.tell(OTHER, 9)
    worker.nr_conns = 0
    worker.notify()
    assert other.has_more(OTHER, 9)
    worker.set_accept_enabled(False)
    worker.notify()
    assert not other.has_more(OTHER, 9)
    worker.set_accept_enabled(True)
    worker.accept(worker.sockets[0])
    assert other.has_more(OTHER, 9)
