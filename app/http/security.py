"""What every answer tells the browser, which proxies are believed, and the check against forged requests.

Scripts, styles, fonts and pictures come from ourselves or not at all; nothing is inline; nobody may frame a page.
"""

from typing import Any

from flask import Flask, Response, request
from flask_wtf.csrf import CSRFProtect, validate_csrf
from werkzeug.middleware.proxy_fix import ProxyFix
from wtforms.validators import ValidationError

from app.errors import Forbidden
from app.settings import Settings

CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
_HEADERS_LOWERED = tuple((name, name.lower(), value) for name, value in _HEADERS.items())
_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))


class ForgeryGuard(CSRFProtect):  # type: ignore[misc] # Flask-WTF has no types
    """Flask-WTF's check, raising an error of ours."""

    def check_header(self) -> None:
        """Check the token in the header X-CSRFToken alone. Raises `ForgedRequest`."""
        try:
            validate_csrf(request.headers.get("X-CSRFToken"))
        except ValidationError as error:
            self._error_response(str(error))

    def _error_response(self, reason: str) -> None:
        raise ForgedRequest(f"{reason} Reload the page and try again.")


class ForgedRequest(Forbidden):
    """A request with a session's cookie, without the token that only our pages know."""

    code = "csrf_failed"
    title = "The page is out of date"


guard = ForgeryGuard()


def is_unsafe() -> bool:
    """Whether the request's method may change something."""
    return request.method not in _SAFE


def _check_pages() -> None:
    # The API checks where it finds out who asks: a bearer's token needs no second proof (`auth.py`).
    if is_unsafe() and not request.path.startswith("/api/"):
        guard.protect()


def _add_headers(response: Response) -> Response:
    # Each `setdefault` goes through all headers there are.
    present = {name.lower() for name, _ in response.headers}
    for name, lower, value in _HEADERS_LOWERED:
        if lower not in present:
            response.headers.add(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if (
        "cache-control" not in present
        and request.endpoint != "static"
        and not (request.endpoint or "").endswith(".static")
    ):
        # What a tenant sees must not stay in a shared cache.
        response.headers.add("Cache-Control", "no-store")
    return response


def register(app: Flask, settings: Settings) -> None:
    """Put headers, proxies and the check in place."""
    app.config.update(
        # The token lives as long as the session: a page that was open over lunch still works.
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_CHECK_DEFAULT=False,
        SESSION_COOKIE_NAME="laneway",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.session_cookie_secure,
        PERMANENT_SESSION_LIFETIME=12 * 3600,
    )
    guard.init_app(app)
    app.before_request(_check_pages)
    app.after_request(_add_headers)
    if settings.trusted_proxies:
        n = settings.trusted_proxies
        wrapped: Any = ProxyFix(app.wsgi_app, x_for=n, x_proto=n, x_host=n, x_prefix=n)
        app.wsgi_app = wrapped  # type: ignore[method-assign] # Flask's documented way to add middleware
