"""What a new worker must be told of its installation's settings: all that this one has set otherwise and workers read."""

from urllib.parse import urlsplit

from app.settings import Settings

#: Every setting that a verification worker reads, but for its connections, its secrets and what it is. A test keeps it whole.
READ_BY_WORKERS = (
    "database_role",
    "database_pool_size",
    "chunk_max_attempts",
    "chunk_slice_seconds",
    "lease_seconds",
    "dispatch_interval_seconds",
    "unattended_window",
    "lost_message_seconds",
    "presence_seconds",
    "presence_timeout_seconds",
    "shutdown_grace_seconds",
    "mailtester_base_url",
    "mailtester_token_url",
    "mailtester_contract",
    "provider_timeout_seconds",
    "chunk_concurrency",
    "item_max_attempts",
    "retry_base_delay",
    "retry_max_delay",
    "retry_backoff_multiplier",
    "flush_seconds",
    "flush_calls",
    "check_syntax",
    "check_disposable",
    "check_mx",
    "dns_timeout_seconds",
    "limit_spacing_margin_ms",
    "limit_window_margin_ms",
    "limit_horizon_ms",
    "health_open_seconds",
    "log_level",
    "log_format",
)


def changed_settings(settings: Settings) -> dict[str, str]:
    """Return variable -> value of what is not the default; never a secret: an address with a password loses it."""
    return {
        name.upper(): _written(getattr(settings, name))
        for name in READ_BY_WORKERS
        if getattr(settings, name) != Settings.model_fields[name].get_default()
    }


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    return _without_password(text) if "://" in text else text


def _without_password(url: str) -> str:
    login, at, host = urlsplit(url).netloc.rpartition("@")
    return url.replace(f"{login}{at}{host}", f"<login>@{host}", 1) if at else url
