"""How the webhooks of all clients stand: for `/metrics`."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

_FIGURES = text("SELECT * FROM webhook_figures()")


@dataclass(frozen=True)
class WebhookFigures:
    """Deliveries that ended in the last hour by what they came to, those that are open, and the endpoints.

    `pending` have not been tried yet, `retrying` have failed and are tried again, `waiting` stand behind an earlier event of
    their job. `oldest_seconds` is the age of the oldest that is open, 0 where none is. `failing` are among the `enabled`.
    """

    delivered: int
    failed: int
    cancelled: int
    pending: int
    retrying: int
    waiting: int
    oldest_seconds: float
    enabled: int
    failing: int
    disabled_by_person: int
    disabled_gone: int
    disabled_failing: int


def webhook_figures(connection: Connection) -> WebhookFigures:
    """Return the figures. Needs no tenant's scope."""
    return WebhookFigures(**connection.execute(_FIGURES).one()._mapping)
