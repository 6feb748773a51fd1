"""What `/metrics` tells of clients as a whole: who is held and why, and their webhooks. No series a client."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric

from app.db.scope import system_scope
from app.jobs.holds import REMEDIES, HeldClient, read_holds
from app.webhooks.figures import WebhookFigures, webhook_figures

#: Always told, with 0 where it is so: an alert on a series that comes and goes has gaps.
_REASONS = tuple(sorted(REMEDIES.keys() - {"held"}))


@dataclass(frozen=True)
class ClientFigures:
    """The clients that are held, and their webhooks."""

    held: list[HeldClient]
    webhooks: WebhookFigures


def read_client_figures() -> ClientFigures:
    """Return the figures."""
    with system_scope() as connection:
        return ClientFigures(read_holds(connection), webhook_figures(connection))


def of_clients(figures: ClientFigures) -> Iterator[Metric]:
    """Yield the figures as metrics."""
    held = GaugeMetricFamily("laneway_clients_held", "Clients on hold.", labels=["reason"])
    # A client may be held for two kinds of work; it is one client.
    found = Counter(reason for _, reason in {(h.tenant_id, h.hold.reason) for h in figures.held})
    for reason in sorted({*_REASONS, *found}):
        held.add_metric([reason], found[reason])
    yield held
    yield from _of_webhooks(figures.webhooks)


def _of_webhooks(told: WebhookFigures) -> Iterator[Metric]:
    yield _gauge(
        "laneway_webhook_deliveries_last_hour",
        "Deliveries that ended in the last hour.",
        "outcome",
        {"delivered": told.delivered, "failed": told.failed, "cancelled": told.cancelled},
    )
    yield _gauge(
        "laneway_webhook_deliveries_open",
        "Deliveries that are not at their end.",
        "state",
        {"pending": told.pending, "retrying": told.retrying, "waiting": told.waiting},
    )
    yield GaugeMetricFamily(
        "laneway_webhook_oldest_seconds",
        "Age of the oldest delivery that is open.",
        value=told.oldest_seconds,
    )
    yield _gauge(
        "laneway_webhook_endpoints",
        "Endpoints of all clients.",
        "state",
        {
            "working": told.enabled - told.failing,
            "failing": told.failing,
            "disabled_by_person": told.disabled_by_person,
            "disabled_gone": told.disabled_gone,
            "disabled_failing": told.disabled_failing,
        },
    )


def _gauge(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=[label])
    for value, count in values.items():
        gauge.add_metric([value], count)
    return gauge
