"""The address of a job's webhook, as it may be sent: public, by the installation's rule."""

from app.settings import get_settings
from app.webhooks.addresses import AddressRule


def check_address(url: str) -> str:
    """Return the address. Raises `InvalidInput` for one that events are not sent to."""
    return AddressRule.from_settings(get_settings()).check(url, "webhookUrl")
