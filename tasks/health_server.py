"""What a worker says of itself over HTTP, on HEALTH_CHECK_PORT: /health for people and probes, /metrics for Prometheus.

It tells of this process alone and asks no server: a worker whose database is away must be able to say so. A port that is
taken (several workers on one host) is no reason not to work.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from tasks.presence import Presence

log = structlog.get_logger(__name__)
Start = Callable[[str, list[tuple[str, str]]], Any]


class LastError(logging.Handler):
    """Remembers the newest error that was logged: its event and kind, not its words, which may quote somebody's data."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last: dict[str, str] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record in."""
        said = record.msg if isinstance(record.msg, dict) else {}
        kind = record.exc_info[0] if record.exc_info else None
        self.last = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "event": str(said.get("event", record.name)),
            "error": kind.__name__ if kind else "",
        }


@dataclass(eq=False)
class Vitals:
    """What the answers are made of. `beat_at` is the monotonic moment of the last heartbeat that the database took."""

    presence: Presence
    running: Callable[[], int]
    rows_per_second: Callable[[], float]
    is_draining: Callable[[], bool]
    beat_at: Callable[[], float | None]
    #: A worker that could not say so for this long counts as gone.
    timeout_seconds: float
    errors: LastError = field(default_factory=LastError)

    def silent_seconds(self) -> float | None:
        """Return how long ago the last heartbeat was; None before the first."""
        at = self.beat_at()
        return None if at is None else time.monotonic() - at

    def health(self) -> tuple[dict[str, Any], bool]:
        """Return what /health says, and whether all is well."""
        silent = self.silent_seconds()
        is_beating = silent is not None and silent < self.timeout_seconds
        word = "ok" if is_beating else "starting" if silent is None else "no heartbeat"
        told = {
            "status": "draining" if self.is_draining() else word,
            "worker": self.presence.name,
            "mode": self.presence.mode,
            "queues": list(self.presence.queues),
            "slots": self.presence.slots,
            "running_chunks": self.running(),
            "rows_per_second": round(self.rows_per_second(), 1),
            "heartbeat_seconds_ago": None if silent is None else round(silent, 1),
            "last_error": self.errors.last,
        }
        return told, is_beating and not self.is_draining()

    def collect(self) -> Iterable[Metric]:
        """Yield the gauges of /metrics."""
        told, is_well = self.health()
        for name, text, value in (
            ("up", "Whether this worker is well.", float(is_well)),
            ("running_chunks", "Chunks that it works on.", told["running_chunks"]),
            ("slots", "Chunks that it could work on at once.", told["slots"]),
            (
                "rows_per_second",
                "Rows recorded over the last ten seconds.",
                told["rows_per_second"],
            ),
            (
                "heartbeat_seconds",
                "Since its last heartbeat.",
                told["heartbeat_seconds_ago"] or 0.0,
            ),
        ):
            yield GaugeMetricFamily(f"laneway_worker_{name}", text, value=value)


class HealthServer:
    """Serves `vitals` on a port from a thread of its own."""

    def __init__(self, vitals: Vitals, host: str, port: int) -> None:
        self._vitals = vitals
        self._registry = CollectorRegistry()
        self._registry.register(vitals)
        self._server = make_server(host, port, self._answer, _Server, _Quiet)
        self.port: int = self._server.server_port

    def start(self) -> None:
        """Begin to answer."""
        logging.getLogger().addHandler(self._vitals.errors)
        threading.Thread(
            target=self._server.serve_forever, name="laneway-health", daemon=True
        ).start()

    def stop(self) -> None:
        """Answer no more."""
        logging.getLogger().removeHandler(self._vitals.errors)
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path, kind, is_well = environ.get("PATH_INFO", ""), "application/json", True
        if path == "/health":
            told, is_well = self._vitals.health()
            body = json.dumps(told).encode()
        elif path == "/metrics":
            body, kind = generate_latest(self._registry), CONTENT_TYPE_LATEST
        else:
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"There are /health and /metrics.\n"]
        start("200 OK" if is_well else "503 Service Unavailable", [("Content-Type", kind)])
        return [body]


def serve_health(vitals: Vitals, host: str, port: int) -> HealthServer | None:
    """Start answering on a port; None, with a line in the log, where it can't be had."""
    try:
        server = HealthServer(vitals, host, port)
    except OSError as error:
        log.warning(
            "health_port_taken",
            port=port,
            error=error.strerror,
            remedy="give each worker of a host a HEALTH_CHECK_PORT of its own, or 0 for none",
        )
        return None
    server.start()
    log.info("health_served", host=host, port=server.port)
    return server


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    #: A probe that sends half a request must not keep a thread.
    timeout = 5

    def log_message(self, *_: Any) -> None:
        """Probes come every few seconds; they are not worth a line."""
