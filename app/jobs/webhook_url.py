"""Which addresses a webhook may go to, as far as the text of the address tells."""

from urllib.parse import urlsplit

from app.errors import InvalidInput

MAX_LENGTH = 2048


def check_webhook_url(url: str) -> str:
    """Return the address. Raises `InvalidInput` for anything but http(s) to a host, without a login in it.

    Where the name leads is checked when something is sent: it may lead elsewhere by then.
    """
    if len(url) > MAX_LENGTH:
        raise InvalidInput(
            f"webhook_url has more than {MAX_LENGTH} characters.", field="webhook_url"
        )
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(c.isspace() or not c.isprintable() for c in url):
        raise InvalidInput(
            "webhook_url must be an address like https://example.com/hook.", field="webhook_url"
        )
    if parts.username is not None or parts.password is not None:
        raise InvalidInput("webhook_url must not hold a login.", field="webhook_url")
    return url
