"""Work driven over HTTP, in an installation without workers: POST /api/enrichment/process, against the simulated providers."""

from collections.abc import Iterator

import pytest

from app.crypto import encrypt, fingerprint
from app.settings import get_settings
from sandbox.process import RunningSandbox, run_sandbox
from tests.conftest import Environment
from tests.factories import Tenant, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web

PATH = "/api/enrichment/process"
KEY, SECRET = "sandbox-key-0001", "a-secret-of-the-clock"
HEADERS = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with run_sandbox() as running:
        running.put_keys({"key": KEY})
        yield running


@pytest.fixture
def acme() -> Tenant:
    tenant = make_tenant()
    for provider in ("mailtester", "apollo"):
        owner_sql(
            """INSERT INTO api_keys (tenant_id, provider, fingerprint, secret_encrypted, hint, spacing_ms)
               VALUES (:t, :p, :f, :s, '0001', 0)""",
            {"t": tenant.id, "p": provider, "f": fingerprint(provider, KEY), "s": encrypt(KEY)},
        )
    return tenant


@pytest.fixture
def cron(
    module_environment: Environment, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """An installation that a clock drives: the secret is set, the providers are simulated."""
    given = {"CRON_SECRET": SECRET, "CHECK_MX": "false", "ENRICHMENT_CHAIN": "apollo"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    for name in ("MAILTESTER", "APOLLO"):
        monkeypatch.setenv(f"{name}_BASE_URL", sandbox.url)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.mark.usefixtures("cron")
def test_jobs_are_done_by_calls_alone(web: Web, acme: Tenant) -> None:
    ann = web.caller(make_person(acme))
    lead = {
        "leadId": "x",
        "inputData": {"firstName": "Anna", "lastName": "found-S", "domain": "a.example"},
    }
    said = [
        {"type": "single_lead_enrichment", "payload": {**lead, "enrichmentTypes": ["email"]}},
        {"type": "email_validation", "payload": {"emails": ["ok-a@example.com"]}},
    ]
    jobs = [(ann.post("/api/enrichment/jobs", json=each).json or {})["id"] for each in said]
    answer = web.caller().post(PATH, json={"maxJobs": 10, "timeout": 10_000}, headers=HEADERS)
    assert answer.status_code == 200, answer.json
    told = answer.json or {}
    assert (told["chunks"], told["by_ending"], told["has_more"]) == (2, {"done": 2}, False)
    found = [ann.get(f"/api/enrichment/jobs/{job}").json or {} for job in jobs]
    assert [(job["status"], job["done"]) for job in found] == [("completed", 1), ("completed", 1)]


@pytest.mark.usefixtures("cron")
def test_what_is_not_finished_in_time_is_handed_back_and_goes_on(web: Web, acme: Tenant) -> None:
    ann = web.caller(make_person(acme))
    emails = [f"slow400-{n}@example.com" for n in range(40)]
    said = {"type": "email_validation", "payload": {"emails": emails}}
    job = (ann.post("/api/enrichment/jobs", json=said).json or {})["id"]
    owner_sql("UPDATE api_keys SET spacing_ms = 100 WHERE tenant_id = :t", {"t": acme.id})
    calls = 0
    while (found := ann.get(f"/api/enrichment/jobs/{job}").json or {})["status"] != "completed":
        told = web.caller().post(PATH, json={"timeout": 3_000}, headers=HEADERS).json or {}
        assert told["ms"] < 6_000
        calls += 1
        assert calls < 12, found
    assert calls > 1
    assert (found["done"], found["failed"]) == (40, 0)


@pytest.mark.usefixtures("cron")
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_nobody_drives_work_without_the_secret(web: Web, headers: dict[str, str]) -> None:
    answer = web.caller().post(PATH, json={}, headers=headers)
    assert (answer.status_code, (answer.json or {})["code"]) == (401, "unauthenticated")


def test_without_a_secret_in_the_settings_nobody_does(web: Web) -> None:
    assert web.caller().post(PATH, json={}, headers=HEADERS).status_code == 404
    assert web.caller().get(PATH).status_code == 200


def test_a_person_is_not_a_clock(web: Web, cron: None) -> None:
    ann: Caller = web.caller(make_person(make_tenant()))
    assert ann.post(PATH, json={}).status_code == 401
