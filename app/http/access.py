"""Each request gets an id, a line in the log and a place in the metrics."""

import re
import secrets
import time

import structlog
from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram

from app.settings import get_settings

log = structlog.get_logger("laneway.access")
#: Metrics of this process alone; those of the ledger are asked from the database at each scrape.
REGISTRY = CollectorRegistry()
REQUESTS = Histogram(
    "laneway_http_request_seconds",
    "Time to answer a request, by route.",
    ("method", "route", "status"),
    registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
LIMITS_WITHOUT_REDIS = Counter(
    "laneway_http_limit_fallback_total",
    "Requests whose limit was counted in this process only, because Redis did not answer.",
    registry=REGISTRY,
)
_GIVEN_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
#: Methods that stand in the metrics under their own name; anybody can make up others, each a series of its own.
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
#: Asked every few seconds by machines; one line each would bury the rest.
_QUIET = {"health.show_health", "health.show_readiness", "metrics.show_metrics", "static"}


def _begin() -> None:
    g.began = time.perf_counter()
    given = request.headers.get("X-Request-ID", "")
    # Only a proxy of ours may name a request; anybody else could forge lines of the log.
    trusted = get_settings().trusted_proxies > 0 and _GIVEN_ID.fullmatch(given)
    g.request_id = given if trusted else secrets.token_hex(8)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _end(response: Response) -> Response:
    # A request that failed before `_begin` has neither.
    seconds = time.perf_counter() - g.get("began", time.perf_counter())
    response.headers["X-Request-ID"] = g.get("request_id", "")
    route = request.url_rule.rule if request.url_rule else "(none)"
    method = request.method if request.method in _METHODS else "(other)"
    REQUESTS.labels(method, route, str(response.status_code)).observe(seconds)
    if request.endpoint not in _QUIET:
        log.info(
            "request",
            method=request.method,
            path=_on_one_line(request.path),
            status=response.status_code,
            ms=round(seconds * 1000, 1),
            user_id=g.get("user_id"),
        )
    return response


def _on_one_line(path: str) -> str:
    """Return the path without what could steer a terminal or begin a line of its own."""
    return path if path.isprintable() else path.encode("unicode_escape").decode()


def register(app: Flask) -> None:
    """Watch every request of the application."""
    app.before_request(_begin)
    app.after_request(_end)
