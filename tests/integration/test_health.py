"""What machines ask: health, readiness, metrics; and what still works while a server is away."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.factory import create_app
from app.http import access
from devtools.ports import find_free_port
from tests.conftest import Environment, forget_environment, use_environment
from tests.factories import make_job, make_person, make_tenant, owner_sql
from tests.integration.http_world import Web


@pytest.fixture
def changed(module_environment: Environment) -> Iterator[pytest.MonkeyPatch]:
    """A patch for settings of one test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOG_LEVEL", "ERROR")
        yield patch
    use_environment(pytest.MonkeyPatch(), module_environment)


def fresh_web() -> Web:
    forget_environment()
    return Web(create_app())


def without_redis(changed: pytest.MonkeyPatch) -> Web:
    changed.setenv("REDIS_URL", f"redis://127.0.0.1:{find_free_port()}/0")
    return fresh_web()


def without_database(changed: pytest.MonkeyPatch) -> Web:
    changed.setenv("DATABASE_URL", f"postgresql://laneway_app@127.0.0.1:{find_free_port()}/none")
    return fresh_web()


def fallbacks() -> float:
    return access.LIMITS_WITHOUT_REDIS._value.get()


def test_all_is_well(web: Web) -> None:
    answer = web.caller().get("/api/health")
    assert answer.status_code == 200
    assert (answer.json["status"], answer.json["service"]) == ("healthy", "Laneway")
    assert answer.json["version"]
    assert web.caller().get("/api/health/ready").json["status"] == "ready"


def test_without_redis_lists_are_taken_and_people_told(changed: pytest.MonkeyPatch) -> None:
    person = make_person(make_tenant())
    web = without_redis(changed)
    ann, before = web.caller(person), fallbacks()
    health = ann.get("/api/health")
    assert (health.status_code, health.headers["Retry-After"]) == (503, "5")
    assert "Redis" in health.json["reasons"][0]
    assert ann.get("/api/health/ready").status_code == 200
    answer = ann.upload()
    assert answer.status_code == 202
    status = ann.get(f"{answer.headers['Location']}/status").json
    assert (status["health"], status["waiting"]["reason"]) == ("waiting", "backend_down")
    # Signing in works, limits are counted in this process, and a metric says so.
    login = {"email": person.email, "password": person.password}
    assert ann.post("/api/auth/login", json=login).status_code == 200
    assert fallbacks() > before


def test_without_redis_sign_in_is_still_limited(changed: pytest.MonkeyPatch) -> None:
    changed.setenv("LOGIN_LIMIT", "2 per minute")
    web = without_redis(changed)
    login = {"email": "a@example.com", "password": "wrong password"}
    codes = [web.caller().post("/api/auth/login", json=login).status_code for _ in range(3)]
    assert codes == [401, 401, 429]


def test_without_the_database_everybody_is_asked_to_come_back(changed: pytest.MonkeyPatch) -> None:
    person = make_person(make_tenant())
    headers = fresh_web().caller(person).headers
    web = without_database(changed)
    nobody = web.caller()
    health = nobody.get("/api/health")
    assert health.status_code == nobody.get("/api/health/ready").status_code == 503
    assert "database" in health.json["reasons"][0]
    login = nobody.post("/api/auth/login", json={"email": "a@b.example", "password": "whatever"})
    listing = nobody.get("/api/enrichment/jobs", headers=headers)
    for answer in (login, listing):
        assert answer.status_code == 503
        assert answer.content_type == "application/problem+json"
        assert answer.json["code"] == "unavailable"
        assert int(answer.headers["Retry-After"]) > 0
    metrics = nobody.get("/metrics")
    assert 'laneway_up{part="database"} 0.0' in metrics.text


def test_metrics_show_lanes_keys_and_requests(web: Web) -> None:
    make_job(make_tenant(), 30, chunk_rows=10)
    owner_sql(
        "INSERT INTO api_keys (fingerprint, secret_encrypted, hint) VALUES ('aa', 'x', 'last')"
    )
    web.caller().get("/api/health")
    text = web.caller().get("/metrics").text
    assert 'laneway_lane_chunks_ready{kind="verify",queue="verification-queue"} 3.0' in text
    assert 'laneway_lane_messages{kind="verify",queue="verification-queue"} 0.0' in text
    assert 'laneway_up{part="database"} 1.0' in text
    assert "laneway_key_used_today{" in text
    assert 'laneway_http_request_seconds_count{method="GET",route="/api/health"' in text


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("192.0.2.7", {}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, 403),
    ],
)
def test_without_a_token_metrics_are_for_this_machine(
    web: Web, address: str, headers: dict[str, str], status: int
) -> None:
    answer = web.app.test_client().get(
        "/metrics", headers=headers, environ_base={"REMOTE_ADDR": address}
    )
    assert answer.status_code == status


def test_with_a_token_metrics_are_for_who_has_it(changed: pytest.MonkeyPatch) -> None:
    changed.setenv("METRICS_TOKEN", "scrape me")
    web = fresh_web()
    good = {"Authorization": "Bearer scrape me"}
    assert web.caller().get("/metrics", headers=good).status_code == 200
    for headers in ({}, {"Authorization": "Bearer nope"}, {"Authorization": "scrape me"}):
        assert web.caller().get("/metrics", headers=headers).status_code == 403


def test_several_web_processes_add_up(module_env: Environment, tmp_path: Path) -> None:
    """In a process of its own: the library decides at import whether to use the folder."""
    code = """
from app.factory import create_app
client = create_app().test_client()
client.get("/api/health/ready")
print(client.get("/metrics").text)
"""
    environment = module_env | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "LOG_LEVEL": "ERROR"}
    for expected in ("1.0", "2.0"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        line = 'laneway_http_request_seconds_count{method="GET",route="/api/health/ready",status="200"} '
        assert line + expected in done.stdout
