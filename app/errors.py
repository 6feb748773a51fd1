"""The errors of the domain, each with a code that never changes.

A rule raises one of these; the HTTP edge turns it into a problem document (RFC 9457) through the
`status` and `code` it carries, and the command line prints `message`. A message is written for the
person who can do something about it and says what to do.
"""

from typing import Any


class LanewayError(Exception):
    """Base of every error that Laneway raises on purpose.

    `code` is stable and machine-readable, `status` the HTTP status at the edge, `retry_after` the
    seconds after which trying again makes sense (None: trying again will not help by itself).
    """

    code = "error"
    status = 500
    title = "Something went wrong"
    #: Whether one with a status from 500 on is the installation's fault and belongs into the log.
    is_fault = True

    def __init__(self, message: str, *, retry_after: int | None = None, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.extra = extra


class InvalidInput(LanewayError):
    """The request can't be carried out as it was sent."""

    code = "invalid_input"
    status = 422
    title = "The request is not valid"


class Unauthenticated(LanewayError):
    code = "unauthenticated"
    status = 401
    title = "Sign in first"


class NoToken(Unauthenticated):
    """A program called without saying who it is."""

    title = "A token is needed"

    def __init__(self) -> None:
        super().__init__(
            "Send a token as `Authorization: Bearer …`: an API token, or an access token of POST /api/auth/login."
        )


class BadToken(Unauthenticated):
    """A token came that opens nothing: unknown, ended, revoked, or in no form that is understood."""

    title = "The token is not valid"


class NotProved(Unauthenticated):
    """A call from outside whose signature, or whose address, is not what it should be."""

    title = "The call is not proved"


class Forbidden(LanewayError):
    code = "forbidden"
    status = 403
    title = "Not allowed"


class NotFound(LanewayError):
    """It does not exist, or belongs to another tenant: the answer is the same."""

    code = "not_found"
    status = 404
    title = "Not found"


class Conflict(LanewayError):
    code = "conflict"
    status = 409
    title = "Not possible in the present state"


class Contradiction(Conflict):
    """It is not there already: something else is that can't stand beside it."""


class Overtaken(LanewayError):
    """Somebody else changed the same thing at this moment, and one of the two had to give way; nothing of it was done."""

    code = "overtaken"
    status = 409
    title = "Somebody else was quicker"


class TooLarge(LanewayError):
    code = "too_large"
    status = 413
    title = "Too large"


class TooCostly(TooLarge):
    """Reading it took all the work that was allowed; a reader with more time may judge otherwise."""


class UnsupportedFile(LanewayError):
    code = "unsupported_file"
    status = 422
    title = "The file can't be read as a list"


class TooManyRequests(LanewayError):
    code = "too_many_requests"
    status = 429
    title = "Too many requests"


class Unavailable(LanewayError):
    """A server that Laneway stands on does not answer; trying again later is right."""

    code = "unavailable"
    status = 503
    title = "Not available at the moment"


class NoRoom(Unavailable):
    """There are as many of something as may be. Nothing is broken, so the log does not say so each time."""

    is_fault = False


class Misconfigured(LanewayError):
    """An environment variable or a row makes no sense; the message names it and the remedy."""

    code = "misconfigured"
    status = 500
    title = "Misconfigured"


class WrongLogin(Misconfigured):
    """What was asked for needs the database's owner, and the environment gives somebody else's login."""
