"""The API's description: `/api/openapi.json` for machines, `/api/docs` for people, rendered here, without a script."""

from typing import Any, cast

from apiflask import APIBlueprint, APIFlask
from flask import Response, current_app, jsonify, render_template

from app.http.models import ProblemOut
from app.http.upload_form import IDEMPOTENCY_KEY, STREAMED_BODIES

openapi = APIBlueprint(
    "openapi",
    __name__,
    url_prefix="/api",
    enable_openapi=False,
    template_folder="templates",
    static_folder="static",
    static_url_path="/docs/static",
)
_METHODS = ("get", "post", "put", "patch", "delete")
_ABOUT = """Work for many clients, each on a lane of its own. Upload a list, watch it, fetch the answers.

Sign in with `POST /api/auth/login` and send the token as `Authorization: Bearer …`. Errors are problem documents
(RFC 9457) with a stable `code`; 429 and 503 carry `Retry-After`. Lists are paged with opaque cursors."""


@openapi.get("/openapi.json")
def show_spec() -> Response:
    """Return the description."""
    return jsonify(_spec())


@openapi.get("/docs")
def show_docs() -> str:
    """Show the description as a page."""
    spec = _spec()
    operations = [
        {"path": path, "method": method, **operation}
        for path, item in spec["paths"].items()
        for method, operation in item.items()
        if method in _METHODS
    ]
    schemas = spec["components"]["schemas"]
    return render_template("api/docs.html", spec=spec, operations=operations, schemas=schemas)


def _spec() -> dict[str, Any]:
    """Return the description, made at the first call: the routes don't change."""
    app = cast("APIFlask", current_app)
    if "api_spec" not in app.extensions:
        for blueprint in app.blueprints.values():
            # APIFlask asks every blueprint; the pages' is Flask's own, which does not know.
            if not isinstance(blueprint, APIBlueprint):
                blueprint.enable_openapi = False  # type: ignore[attr-defined]
        app.extensions["api_spec"] = app.spec
    return cast("dict[str, Any]", app.extensions["api_spec"])


def _complete(spec: dict[str, Any] | str) -> dict[str, Any] | str:
    """Say what APIFlask can't know: how errors are sent, and what the streamed routes take and give."""
    assert isinstance(spec, dict), "the description is made as JSON"  # noqa: S101 - APIFlask's type allows YAML
    for path, body in STREAMED_BODIES.items():
        spec["paths"][path]["post"]["requestBody"] = body
    for item in spec["paths"].values():
        for operation in item.values():
            _add_refusals(operation)
            _name_forms(operation)
            for status, answer in operation.get("responses", {}).items():
                if status >= "400" and "application/json" in answer.get("content", {}):
                    answer["content"] = {
                        "application/problem+json": answer["content"].pop("application/json")
                    }
    spec["paths"]["/api/uploads"]["post"]["parameters"] = [IDEMPOTENCY_KEY]
    answers = spec["paths"]["/api/enrichment/jobs/{job_id}/results.csv"]["get"]["responses"]
    answers["200"]["content"] = {"text/csv": {"schema": {"type": "string"}}}
    return spec


#: Any route may answer with these; those that take a body also with the others.
_ANYWHERE = {
    "429": "Too many requests; `Retry-After` says when.",
    "503": "A server is away; `Retry-After` says when.",
}
_SIGNED_IN = {"403": "Not for this account."}
_WITH_BODY = {
    "400": "The body can't be read.",
    "413": "Too large.",
    "415": "Not in a form that is understood.",
    "422": "What was sent is not valid.",
}


def _name_forms(operation: dict[str, Any]) -> None:
    """Say which parts of an address are UUIDs: others are no such route (404)."""
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path" and parameter["name"].endswith("_id"):
            parameter["schema"] = {"type": "string", "format": "uuid"}


def _add_refusals(operation: dict[str, Any]) -> None:
    """Say what a route may answer that depends on no route."""
    told = dict(_ANYWHERE)
    if "requestBody" in operation:
        told |= _WITH_BODY
    if {"bearer": []} in operation.get("security", []):
        told |= _SIGNED_IN
    for status, text in told.items():
        operation["responses"].setdefault(
            status,
            {
                "description": text,
                "content": {"application/json": {"schema": ProblemOut.model_json_schema()}},
            },
        )


def register(app: APIFlask) -> None:
    """Describe the API."""
    app.config.update(
        DESCRIPTION=_ABOUT,
        VALIDATION_ERROR_SCHEMA=ProblemOut.model_json_schema(),
        HTTP_ERROR_SCHEMA=ProblemOut.model_json_schema(),
        AUTO_SERVERS=False,
    )
    app.security_schemes = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "cron": {"type": "http", "scheme": "bearer", "description": "CRON_SECRET"},
    }
    app.spec_processor(_complete)
    app.register_blueprint(openapi)
