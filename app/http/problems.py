"""Every error becomes a problem document (RFC 9457) here, through one table.

An error that was not raised on purpose says nothing about itself to the outside; it is logged with the request's id,
which the document carries. Pages may show the same problem in their own clothes: the console puts a renderer into
`app.extensions["problem_page"]`, asked for requests outside /api that prefer HTML.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from apiflask import APIFlask, HTTPError
from flask import Flask, Response, current_app, g, json, request
from flask.json.provider import DefaultJSONProvider
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import BadRequest, HTTPException

from app.db.refusals import GAVE_WAY, overtaken
from app.errors import LanewayError
from app.refusal_words import in_words

log = structlog.get_logger(__name__)
MEDIA_TYPE = "application/problem+json"
DATABASE_RETRY_SECONDS = 5
#: SQLSTATE classes that mean "ask again" (PostgreSQL, appendix A): connection, shutdown, resources, serialisation.
_PASSING = ("08", "57P", "53", "40", "55P03", "57014")
_NAMES = {
    400: ("bad_request", "The request can't be read"),
    401: ("unauthenticated", "Sign in first"),
    403: ("forbidden", "Not allowed"),
    404: ("not_found", "Not found"),
    405: ("method_not_allowed", "Not possible with this method"),
    406: ("not_acceptable", "Not available in this form"),
    408: ("timed_out", "The request took too long"),
    413: ("too_large", "Too large"),
    415: ("unsupported_media_type", "Not in a form that is understood"),
    422: ("invalid_input", "The request is not valid"),
    429: ("too_many_requests", "Too many requests"),
    503: ("unavailable", "Not available at the moment"),
}


@dataclass(frozen=True)
class Problem:
    """What went wrong, ready to be shown. `retry_after` is in seconds."""

    status: int
    code: str
    title: str
    detail: str
    retry_after: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_document(self) -> dict[str, Any]:
        """Return the members of the document."""
        return {
            **self.extra,
            "type": f"urn:laneway:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "instance": request.path,
            "request_id": g.get("request_id"),
        }


def note_failure(error: LanewayError) -> None:
    """Log an error that is the installation's own, wherever it is shown."""
    if error.status >= 500 and error.is_fault:
        log.error("request_failed", code=error.code, detail=error.message)


def _from_laneway(error: LanewayError) -> Problem:
    note_failure(error)
    return Problem(
        error.status, error.code, error.title, error.message, error.retry_after, error.extra
    )


def _from_http(error: HTTPException) -> Problem:
    status = error.code or 500
    code, title = _NAMES.get(status, (f"http_{status}", error.name))
    headers = {}
    if (allowed := getattr(error, "valid_methods", None)) is not None:
        headers["Allow"] = ", ".join(sorted(allowed))
    retry_after = None
    if (limit := getattr(error, "limit", None)) is not None:
        retry_after = int(limit.limit.get_expiry())
        return Problem(status, code, title, f"The limit is {limit.limit}.", retry_after)
    detail = error.description or title
    # What the framework says in these cases is about browsers, proxies and spelling; what is more special says more itself.
    is_unread = type(error) is BadRequest
    if is_unread and request.is_json:
        detail = "The body is empty or not valid JSON."
    elif is_unread and request.path.startswith("/api/") and detail == BadRequest.description:
        status, (code, title) = 415, _NAMES[415]
        detail = "Send the body as JSON, with the header `Content-Type: application/json`."
    elif status == 404 and request.path.startswith("/api/"):
        detail = (
            "There is nothing at this address. Check the path, and that an id in it is one that the API gave: "
            "/api/docs lists all paths."
        )
    return Problem(status, code, title, detail, retry_after, headers=headers)


def _from_apiflask(error: HTTPError) -> Problem:
    message = error.message or "Something went wrong"
    code, title = _NAMES.get(error.status_code, (f"http_{error.status_code}", message))
    fields = []
    if isinstance(cause := error.__cause__, ValidationError):
        where = "query" if "query" in error.detail else "body"
        fields = [{**each, "field": each["field"] or where} for each in field_errors(cause)]
    detail = "; ".join(f"{e['field']}: {e['message']}" for e in fields) or message
    extra = {"errors": fields} if fields else {}
    return Problem(error.status_code, code, title, detail, extra=extra)


def field_errors(error: ValidationError) -> list[dict[str, str]]:
    """Return what a model says about a request, field by field, without what was sent; of all of it the field is empty."""
    return [
        {"field": _field(e["loc"]), "message": in_words(e)}
        for e in error.errors(include_input=False, include_url=False)
    ]


def _field(place: Sequence[object]) -> str:
    # In parentheses stands which of several shapes was meant, in brackets that it is a name itself: nobody sent either.
    return ".".join(str(part) for part in place if not str(part).startswith(("(", "[")))


def _from_database(error: Exception) -> Problem:
    state = getattr(getattr(error, "orig", None), "pgcode", None)
    if state in GAVE_WAY:
        # The database is there and well: whoever asks again at once gets through.
        log.warning("request_overtaken", sqlstate=state)
        return _from_laneway(overtaken())
    lost = isinstance(error, PoolTimeout) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )
    passing = state.startswith(_PASSING) if state else isinstance(error, OperationalError)
    if lost or passing:
        log.warning("database_unavailable", error=type(error).__name__, sqlstate=state)
        text = "The database does not answer at the moment. Nothing was lost; try again shortly."
        return Problem(503, *_NAMES[503], text, DATABASE_RETRY_SECONDS)
    return _from_anything(error)


def _from_anything(error: Exception) -> Problem:
    log.error("request_failed", exc_info=error)
    text = (
        "Laneway could not carry out the request. The log has the reason under this request's id."
    )
    return Problem(500, "internal_error", "Something went wrong", text)


#: The first class that fits decides.
_TABLE: tuple[tuple[type[Exception], Callable[[Any], Problem]], ...] = (
    (LanewayError, _from_laneway),
    (HTTPError, _from_apiflask),
    (HTTPException, _from_http),
    (DBAPIError, _from_database),
    (PoolTimeout, _from_database),
    (Exception, _from_anything),
)


def describe(error: Exception) -> Problem:
    """Return what an error looks like from the outside."""
    return next(make(error) for kind, make in _TABLE if isinstance(error, kind))


def _wants_page() -> bool:
    if request.path.startswith("/api/"):
        return False
    best = request.accept_mimetypes.best_match([MEDIA_TYPE, "application/json", "text/html"])
    return best == "text/html"


def respond(error: Exception) -> Response:
    """Turn an error into the response: a document, or the console's page."""
    problem = describe(error)
    page = current_app.extensions.get("problem_page")
    if page is not None and _wants_page():
        response = current_app.make_response(page(problem))
        response.status_code = problem.status
    else:
        body = json.dumps(problem.as_document())
        response = Response(body, status=problem.status, mimetype=MEDIA_TYPE)
    response.headers.extend(dict(problem.headers))
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    if problem.status == 401 and request.path.startswith("/api/"):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


class _FlatJson(DefaultJSONProvider):
    """Flask's JSON; a body nested deeper than Python can follow is as malformed as any other."""

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        try:
            return super().loads(s, **kwargs)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def register(app: APIFlask | Flask) -> None:
    """Have every error of the application answered by `respond`."""
    app.json = _FlatJson(app)
    for kind, _ in _TABLE:
        app.register_error_handler(kind, respond)
