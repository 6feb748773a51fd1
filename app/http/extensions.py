"""What the factory puts into the application and views take out: the broker's client, the limiter, the dispatcher."""

from typing import cast

from flask import current_app

from app.http.broker import Broker
from app.http.live.hub import EventHub
from app.uploads.storage import Storage
from routing.rate_limits.limiter import Limiter as ProviderLimits


def broker() -> Broker:
    """Return the application's view of Redis."""
    return cast("Broker", current_app.extensions["broker"])


def storage() -> Storage:
    """Return where uploaded files are kept."""
    return cast("Storage", current_app.extensions["storage"])


def provider_limits() -> ProviderLimits:
    """Return the limits of the providers' keys, for looking at them."""
    return cast("ProviderLimits", current_app.extensions["provider_limits"])


def event_hub() -> EventHub:
    """Return what holds this process's streams of events."""
    return cast("EventHub", current_app.extensions["event_hub"])


def dispatch_soon() -> None:
    """Have new work released soon, after the commit. Returns at once and never raises."""
    current_app.extensions["dispatch"]()
