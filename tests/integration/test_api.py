"""The API as a whole: lists of jobs, operators' views, problem documents, headers, the description."""

import re

import pytest
from flask import Flask, request

from app.crypto import encrypt
from app.factory import create_app
from app.settings import get_settings
from tests.factories import (
    Person,
    Tenant,
    make_job,
    make_lane,
    make_person,
    make_tenant,
    make_worker,
    owner_sql,
)
from tests.integration.http_world import Caller, Web

JOBS = "/api/enrichment/jobs"


@pytest.fixture
def person(web: Web) -> Person:
    return make_person(make_tenant())


@pytest.fixture
def acme(person: Person) -> Tenant:
    assert person.tenant
    return person.tenant


@pytest.fixture
def ann(web: Web, person: Person) -> Caller:
    return web.caller(person)


def test_jobs_are_listed_newest_first_page_by_page(ann: Caller, acme: Tenant) -> None:
    made = [str(make_job(acme, 1)) for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = ann.get(JOBS, query_string={"limit": 2, "cursor": cursor}).json
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]


def test_jobs_are_listed_by_status(ann: Caller, acme: Tenant) -> None:
    make_job(acme, 1)
    cancelled = str(make_job(acme, 1))
    ann.delete(f"{JOBS}/{cancelled}")
    page = ann.get(JOBS, query_string={"status": "cancelled"}).json
    assert [job["id"] for job in page["jobs"]] == [cancelled]
    assert ann.get(JOBS, query_string={"status": "odd"}).status_code == 422


def test_lanes_and_keys_for_operators(web: Web, acme: Tenant, person: Person) -> None:
    make_lane(person, f"verification-queue:{acme.slug}")
    make_worker(f"verification-queue:{acme.slug}", slots=4, rows_per_second=7.5)
    make_job(acme, 30, chunk_rows=10)
    owner_sql(
        """INSERT INTO api_keys (tenant_id, fingerprint, secret_encrypted, hint, spacing_ms, requests_per_window, daily_limit)
           VALUES (:t, :f, :s, '1234', 125, 165, 1000)""",
        {"t": acme.id, "f": acme.slug.replace("-", ""), "s": encrypt("mt_abc123xyz1234")},
    )
    operator = web.caller(make_person(role="operator"))
    [lane] = [
        row for row in operator.get("/api/lanes").json["lanes"] if row["tenants"] == [acme.slug]
    ]
    assert (lane["queue"], lane["kind"], lane["dedicated"]) == (
        f"verification-queue:{acme.slug}",
        "verify",
        True,
    )
    assert (lane["ready"], lane["workers"], lane["slots"], lane["messages"]) == (3, 1, 4, 0)
    assert (lane["keys"], lane["keys_per_second"], lane["rate_per_second"]) == (1, 5.5, 7.5)
    assert lane["oldest_seconds"] >= 0
    [key] = [row for row in operator.get("/api/keys").json["keys"] if row["tenant"] == acme.slug]
    assert (key["hint"], key["health"], key["used_today"], key["enabled"]) == (
        "1234",
        "unknown",
        0,
        True,
    )
    assert "secret" not in str(key)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("PUT", JOBS, 405, "method_not_allowed"),
        ("GET", f"{JOBS}/not-an-id", 404, "not_found"),
        ("GET", JOBS, 401, "unauthenticated"),
        ("POST", "/api/auth/login", 415, "unsupported_media_type"),
    ],
)
def test_every_error_is_a_problem_document(
    web: Web, method: str, path: str, status: int, code: str
) -> None:
    answer = web.caller().call(method, path)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    problem = answer.json
    assert (problem["code"], problem["status"], problem["instance"]) == (code, status, path)
    assert problem["type"] == f"urn:laneway:problem:{code}"
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert problem["title"]
    assert problem["detail"]


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_a_body_that_is_no_json_is_told_what_to_be(web: Web, ann: Caller, kind: str | None) -> None:
    answer = ann.call("POST", JOBS, data=b"type=email_validation", content_type=kind)
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")
    assert "Content-Type: application/json" in answer.json["detail"]


def test_an_unforeseen_error_says_nothing_about_itself(web: Web, ann: Caller) -> None:
    view = web.app.view_functions["jobs.list_jobs"]

    def fail(**_: object) -> None:
        raise RuntimeError("the secret is zyx")

    web.app.view_functions["jobs.list_jobs"] = fail
    try:
        answer = ann.get(JOBS)
    finally:
        web.app.view_functions["jobs.list_jobs"] = view
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert "zyx" not in answer.text


def test_what_is_sent_wrong_is_said_field_by_field(web: Web) -> None:
    answer = web.caller().post("/api/auth/login", json={"email": "a@b.example", "pass": "x"})
    assert answer.status_code == 422
    fields = {error["field"] for error in answer.json["errors"]}
    assert fields == {"password", "pass"}


def test_a_large_body_elsewhere_is_refused(web: Web) -> None:
    answer = web.caller().post(
        "/api/auth/login", data=b"x" * 2_000_000, content_type="application/json"
    )
    assert (answer.status_code, answer.json["code"]) == (413, "too_large")


def test_every_answer_tells_the_browser_to_be_careful(web: Web) -> None:
    for path in ("/api/health", "/api/nothing", "/login", "/api/docs"):
        headers = web.caller().get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert re.fullmatch(r"[0-9a-f]{16}", headers["X-Request-ID"])


def test_a_caller_may_not_ask_too_often(
    web: Web, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_LIMIT", "3 per minute")
    get_settings.cache_clear()
    try:
        answers = [ann.get(JOBS).status_code for _ in range(4)]
        refused = ann.get(JOBS)
        healthy = ann.get("/api/health").status_code
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    assert answers == [200, 200, 200, 429]
    assert refused.json["code"] == "too_many_requests"
    assert int(refused.headers["Retry-After"]) > 0
    assert healthy == 200


def test_the_description_covers_every_route(web: Web) -> None:
    spec = web.caller().get("/api/openapi.json").json
    described = {
        (method.upper(), path)
        for path, item in spec["paths"].items()
        for method in item
        if method in ("get", "post", "put", "patch", "delete")
    }
    assert described == api_routes(web.app)
    assert "multipart/form-data" in spec["paths"]["/api/uploads"]["post"]["requestBody"]["content"]


def api_routes(app: Flask) -> set[tuple[str, str]]:
    return {
        # A converter of Flask's is no part of the description.
        (method, re.sub(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if rule.rule.startswith("/api/") and not rule.endpoint.startswith("openapi.")
        if method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    }


def test_the_description_can_be_read_by_people(web: Web) -> None:
    page = web.caller().get("/api/docs")
    assert page.status_code == 200
    assert "/api/enrichment/jobs/{job_id}/status" in page.text
    assert "<script" not in page.text
    assert "style=" not in page.text
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page.text)
    assert web.caller().get("/api/docs/static/docs.css").status_code == 200


@pytest.mark.parametrize(("proxies", "seen"), [("0", "127.0.0.1"), ("1", "192.0.2.9")])
def test_a_forwarded_address_counts_only_from_a_trusted_proxy(
    web: Web, monkeypatch: pytest.MonkeyPatch, proxies: str, seen: str
) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", proxies)
    get_settings.cache_clear()
    try:
        app = create_app()
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    with app.test_request_context():
        app.view_functions["health.show_health"] = lambda: request.remote_addr or ""
    headers = {"X-Forwarded-For": "203.0.113.5, 192.0.2.9"}
    assert app.test_client().get("/api/health", headers=headers).text == seen


def test_no_text_breaks_the_database(web: Web, ann: Caller, acme: Tenant) -> None:
    job = make_job(acme, 1)
    results = f"{JOBS}/{job}/results"
    for odd in (
        "\x00",
        "a\x00b",
        "\ud800",
        "\uffff",
        "'",
        "\\",
        "%",
        "\u202e",
        "\U0001d518",
        "x" * 300,
    ):
        answers = [
            ann.get(results, query_string={"q": odd.encode("utf-8", "surrogatepass")}),
            ann.get(JOBS, query_string={"cursor": odd.encode("utf-8", "surrogatepass")}),
            ann.upload(priority="1", email_column=odd.encode("utf-8", "replace").decode()),
            ann.upload(tags=odd.encode("utf-8", "replace").decode()),
            ann.upload(name=odd.encode("utf-8", "replace").decode() + ".csv"),
            web.caller().post("/api/auth/login", json={"email": odd, "password": odd}),
        ]
        assert {answer.status_code for answer in answers} <= {200, 202, 400, 401, 422}, odd
