"""Sessions of pages; a request without their cookie has an empty one, without the signer being made that would read it."""

from flask import Flask, Request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface


class BearersHaveNone(SecureCookieSessionInterface):
    """Flask's sessions in a signed cookie."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Read the request's session."""
        if not request.cookies.get(self.get_cookie_name(app)):
            return self.session_class()
        return super().open_session(app, request)
