"""`/metrics` for Prometheus: this process's requests, and the ledger's figures as every other view shows them.

Open to a bearer of METRICS_TOKEN; without one, to this machine itself, and not through a proxy.
"""

import hmac
from collections.abc import Iterator
from operator import attrgetter

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from app.errors import Forbidden
from app.http.access import REGISTRY
from app.http.extensions import broker
from app.http.lanes import read_keys, read_lanes, read_shared_parts
from app.http.limits import limiter
from app.http.metrics_clients import of_clients, read_client_figures
from app.jobs.lanes import LaneRow
from app.jobs.provider_keys import KeyRow
from app.jobs.shared_parts import SharedPart
from app.settings import get_settings

metrics = Blueprint("metrics", __name__)
limiter.exempt(metrics)
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: (name, what it says, field of LaneRow, with a dot: of its advice)
_LANE_GAUGES = (
    ("laneway_lane_messages", "Messages that wait in the broker (LLEN).", "messages"),
    ("laneway_lane_chunks_ready", "Chunks that could be released.", "ready"),
    ("laneway_lane_chunks_deferred", "Chunks that are put off to a later moment.", "deferred"),
    ("laneway_lane_chunks_released", "Chunks released and not yet leased.", "released"),
    ("laneway_lane_chunks_running", "Chunks being worked on.", "running"),
    ("laneway_lane_oldest_seconds", "Age of the oldest chunk that waits.", "oldest_seconds"),
    ("laneway_lane_workers", "Live worker processes.", "workers"),
    ("laneway_lane_slots", "Slots of the live workers.", "slots"),
    ("laneway_lane_rows_per_second", "Rows recorded a second.", "rate_per_second"),
    ("laneway_lane_keys_per_second", "Calls a second that the keys allow.", "keys_per_second"),
    ("laneway_lane_rows_left", "Rows without an answer.", "rows_left"),
    ("laneway_lane_drain_seconds", "Until the lane is empty.", "drain_seconds"),
    ("laneway_lane_unattended_seconds", "Work and no worker for so long.", "unattended_seconds"),
    (
        "laneway_lane_fallback_clients",
        "Clients that left it for the shared lane.",
        "fallback_count",
    ),
    ("laneway_lane_workers_wanted", "Workers that an autoscaler would set.", "advice.workers"),
    ("laneway_lane_workers_fed", "Most workers that the keys feed.", "advice.workers_fed"),
)


class _LedgerCollector(Collector):
    """Asks the database and Redis at each scrape."""

    def collect(self) -> Iterator[Metric]:
        """Yield the figures; without the database, that it is down."""
        up = GaugeMetricFamily("laneway_up", "Whether it answers.", labels=["part"])
        up.add_metric(["redis"], float(broker().is_up()))
        try:
            lanes, keys, parts = read_lanes(), read_keys(), read_shared_parts()
            clients = read_client_figures()
            up.add_metric(["database"], 1.0)
        except SQLAlchemyError:
            lanes, keys, parts, clients = [], [], [], None
            up.add_metric(["database"], 0.0)
        yield up
        yield from _of_lanes(lanes)
        yield from _of_keys(keys)
        yield _of_parts(parts)
        if clients is not None:
            yield from of_clients(clients)


def _of_lanes(lanes: list[LaneRow]) -> Iterator[Metric]:
    for name, text, field in _LANE_GAUGES:
        gauge = GaugeMetricFamily(name, text, labels=["queue", "kind"])
        value_of = attrgetter(field)
        for lane in lanes:
            value = value_of(lane)
            if value is not None:
                gauge.add_metric([lane.queue, lane.kind], float(value))
        yield gauge


def _of_keys(keys: list[KeyRow]) -> Iterator[Metric]:
    labels = ["key", "tenant", "provider"]
    used = GaugeMetricFamily(
        "laneway_key_used_today", "Calls made of the key's day.", labels=labels
    )
    reserved = GaugeMetricFamily(
        "laneway_key_reserved_today", "Calls reserved: what the daily limit counts.", labels=labels
    )
    spacing = GaugeMetricFamily(
        "laneway_key_spacing_multiplier", "Spacing widened after answers 429.", labels=labels
    )
    healthy = GaugeMetricFamily("laneway_key_healthy", "1: circuit closed.", labels=labels)
    throttled = GaugeMetricFamily("laneway_key_throttled", "Answers 429 so far.", labels=labels)
    for key in keys:
        names = [str(key.id or f"environment …{key.hint}"), key.tenant or "", key.provider]
        used.add_metric(names, key.used_today)
        if key.reserved_today is not None:
            reserved.add_metric(names, key.reserved_today)
        throttled.add_metric(names, key.throttled_count)
        spacing.add_metric(names, key.spacing_multiplier)
        if key.health != "unknown":
            healthy.add_metric(names, float(key.health == "closed"))
    yield from (used, reserved, healthy, throttled, spacing)


def _of_parts(parts: list[SharedPart]) -> Metric:
    """A series a client that had rows on the shared lane in the last hour, so their number follows what is in use."""
    text = "Part of the shared lane in the last hour, 0 to 1."
    gauge = GaugeMetricFamily("laneway_client_shared_part", text, labels=["tenant"])
    for part in parts:
        gauge.add_metric([part.tenant], part.part)
    return gauge


def _check_access() -> None:
    token = get_settings().metrics_token
    if token:
        wanted = f"Bearer {token.get_secret_value()}"
        if hmac.compare_digest(request.headers.get("Authorization", "").encode(), wanted.encode()):
            return
        raise Forbidden("Send METRICS_TOKEN as `Authorization: Bearer …`.")
    # Behind a proxy on this machine everybody comes from loopback.
    is_forwarded = any(
        name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP")
    )
    if is_forwarded or not (request.remote_addr or "").startswith(("127.", "::1")):
        raise Forbidden("Without METRICS_TOKEN, /metrics answers this machine only.")


@metrics.get("/metrics")
def show_metrics() -> Response:
    """Return the metrics."""
    _check_access()
    ledger = CollectorRegistry(auto_describe=False)
    ledger.register(_LedgerCollector())
    body = generate_latest(_requests()) + generate_latest(ledger)
    return Response(body, content_type=MEDIA_TYPE)


def _requests() -> CollectorRegistry:
    """Return the figures of this process, or of all web processes where they share a folder."""
    folder = get_settings().prometheus_multiproc_dir
    if folder is None:
        return REGISTRY
    together = CollectorRegistry()
    MultiProcessCollector(together, str(folder))  # type: ignore[no-untyped-call] # the library has no types here
    return together
