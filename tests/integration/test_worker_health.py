"""What a worker says of itself over HTTP; the server is real, the worker's state is given."""

import json
import logging
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.health_server import HealthServer, Vitals, serve_health
from tasks.presence import Presence


class Worker:
    """A worker's state, to be changed."""

    def __init__(self) -> None:
        self.beat_at: float | None = time.monotonic()
        self.draining = False
        presence = Presence(name="w@h", mode="shared", slots=64, queues=["enrichment"])
        self.vitals = Vitals(
            presence,
            running=lambda: 3,
            rows_per_second=lambda: 12.34,
            is_draining=lambda: self.draining,
            beat_at=lambda: self.beat_at,
            timeout_seconds=15,
        )


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def server(worker: Worker) -> Iterator[HealthServer]:
    served = HealthServer(worker.vitals, "127.0.0.1", 0)
    served.start()
    yield served
    served.stop()


def ask(server: HealthServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def health(server: HealthServer) -> tuple[int, dict[str, Any]]:
    status, body = ask(server, "/health")
    return status, json.loads(body)


def test_a_worker_tells_its_lanes_what_runs_and_its_heartbeat(server: HealthServer) -> None:
    status, told = health(server)
    assert (status, told["status"]) == (200, "ok")
    assert (told["queues"], told["slots"], told["running_chunks"]) == (["enrichment"], 64, 3)
    assert told["heartbeat_seconds_ago"] < 5
    assert told["last_error"] is None


@pytest.mark.parametrize("silent", [None, 16.0])
def test_a_worker_without_a_heartbeat_is_not_well(
    server: HealthServer, worker: Worker, silent: float | None
) -> None:
    worker.beat_at = None if silent is None else time.monotonic() - silent
    status, told = health(server)
    assert (status, told["status"]) == (503, "starting" if silent is None else "no heartbeat")


def test_a_worker_that_is_leaving_says_so(server: HealthServer, worker: Worker) -> None:
    worker.draining = True
    assert health(server)[0] == 503
    assert "laneway_worker_up 0.0" in ask(server, "/metrics")[1]


def test_the_last_error_is_told_without_its_words(server: HealthServer) -> None:
    try:
        raise ValueError("ann@example.com")
    except ValueError:
        logging.getLogger("test").exception({"event": "chunk_failed"})
    told = health(server)[1]["last_error"]
    assert (told["event"], told["error"]) == ("chunk_failed", "ValueError")
    assert "ann" not in json.dumps(told)


def test_gauges_for_prometheus(server: HealthServer) -> None:
    status, body = ask(server, "/metrics")
    assert status == 200
    assert "laneway_worker_running_chunks 3.0" in body
    assert "laneway_worker_rows_per_second 12.3" in body
    assert ask(server, "/secrets")[0] == 404


def test_a_taken_port_is_told_and_no_reason_not_to_work(worker: Worker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert serve_health(worker.vitals, "127.0.0.1", taken.getsockname()[1]) is None
