"""What `/metrics` says of streams."""

import atexit

from prometheus_client import Counter, Gauge

from app.http.access import REGISTRY

STREAMS = Gauge(
    "laneway_event_streams",
    "Streams of events that are open.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
EVENTS = Counter(
    "laneway_events_sent_total", "Jobs told over streams, once a viewer.", registry=REGISTRY
)
REFUSED = Counter(
    "laneway_event_streams_refused_total",
    "Streams refused, because there were as many as may be.",
    registry=REGISTRY,
)
# What a process wrote into the folder that it shares with others outlives it.
atexit.register(STREAMS.set, 0)
