"""Logs with structure, for the web, the workers and the command line: one event a line, secrets taken out.

Everything goes through structlog, the records of libraries included. `LOG_FORMAT=json` is for machines, `console` for
people. Scrubbing looks at names (`password`, `token`, …) and into texts (logins in addresses, `key=` in queries,
bearer tokens), because libraries put addresses with secrets into their messages.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any

import structlog
from structlog.typing import Processor

from app.settings import Settings, get_settings

HIDDEN = "[hidden]"
_SECRET_NAMES = re.compile(
    r"password|passwd|secret|authorization|cookie|(^|_)tokens?$|api_?keys?$|encryption_keys?|csrf",
    re.IGNORECASE,
)
_SECRET_TEXTS = (
    # user:password@host in any address
    (re.compile(r"(?<=://)([^\s:/@]*):[^\s/@]+(?=@)"), rf"\1:{HIDDEN}"),
    (
        re.compile(r"(?i)\b(api_?key|key|token|access_token|password|secret)=[^&\s\"']+"),
        rf"\1={HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"), HIDDEN),
)
_MAX_DEPTH = 4


#: What each of these needs: most texts of a log have nothing of it and need not be searched four times.
_SECRET_SIGN = re.compile(r"://|=|eyJ|[Bb][Ee][Aa][Rr][Ee][Rr]|[Bb][Aa][Ss][Ii][Cc]")


def scrub_text(text: str) -> str:
    """Return the text without the secrets that can be told by their surroundings."""
    if not _SECRET_SIGN.search(text):
        return text
    for pattern, replacement in _SECRET_TEXTS:
        text = pattern.sub(replacement, text)
    return text


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return _SECRET_NAMES.search(name) is not None


def _scrub(name: str, value: Any, depth: int = 0) -> Any:
    if name and value is not None and _is_secret(name):
        return HIDDEN
    if isinstance(value, str):
        return scrub_text(value)
    if depth >= _MAX_DEPTH:
        return value
    if isinstance(value, Mapping):
        return {key: _scrub(str(key), item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrub("", item, depth + 1) for item in value]
    return value


def scrub_event(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Take secrets out of an event (structlog processor)."""
    for name in list(event):
        if not name.startswith("_"):
            event[name] = _scrub(name, event[name])
    return event


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
    ]


def _renderers(log_format: str) -> list[Processor]:
    if log_format == "json":
        # Tracebacks become text before they are scrubbed: they can quote addresses with logins.
        return [
            structlog.processors.format_exc_info,
            scrub_event,
            structlog.processors.JSONRenderer(default=str),
        ]
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [structlog.processors.format_exc_info, scrub_event, console]


def configure_logging(settings: Settings | None = None) -> None:
    """Send every log of this process through structlog to standard error. Calling it again replaces the set-up."""
    settings = settings or get_settings()
    shared = _shared_processors()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(settings.log_format),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    # One line a request of our own says more than werkzeug's.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
