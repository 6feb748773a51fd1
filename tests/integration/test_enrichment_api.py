"""The calls of the job API over HTTP; what its jobs do is in test_lookup_run.py."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.factories import make_person, make_tenant
from tests.integration.http_world import Caller, Web

SINGLE: dict[str, Any] = {
    "type": "single_lead_enrichment",
    "payload": {
        "leadId": "lead_123",
        "providerId": "clearbit",
        "enrichmentTypes": ["email", "company", "social"],
        "inputData": {"firstName": "John", "lastName": "Doe", "company": "Acme Corp"},
    },
    "priority": 2,
    "maxRetries": 3,
    "webhookUrl": "https://app.example.com/webhook/enrichment",
    "tags": ["lead_enrichment", "clearbit"],
}
BATCH: dict[str, Any] = {
    "type": "batch_lead_enrichment",
    "payload": {
        "leadIds": ["lead_1", "lead_2", "lead_3"],
        "providerId": "hunter",
        "enrichmentTypes": ["email"],
        "inputData": {
            "lead_1": {"firstName": "John", "lastName": "Doe", "company": "Acme"},
            "lead_2": {"firstName": "Jane", "lastName": "Smith", "company": "Tech Co"},
        },
    },
    "priority": 3,
    "maxRetries": 2,
    "tags": ["batch_processing", "email_finder"],
}
PATH = "/api/enrichment/jobs"


@pytest.fixture
def ann(web: Web) -> Caller:
    return web.caller(make_person(make_tenant()))


def test_a_single_lead_makes_a_job(ann: Caller, web: Web) -> None:
    answer = ann.post(PATH, json=SINGLE)
    assert answer.status_code == 202, answer.json
    job = answer.json
    assert job
    assert (job["kind"], job["status"], job["total"], job["priority"], job["max_retries"]) == (
        "single_lead_enrichment",
        "pending",
        1,
        2,
        3,
    )
    assert job["tags"] == ["lead_enrichment", "clearbit"]
    assert answer.headers["Location"].endswith(job["id"])
    assert web.dispatched == 1
    assert ann.get(answer.headers["Location"]).json == job


def test_a_batch_has_a_row_for_each_lead_also_one_of_which_nothing_is_known(ann: Caller) -> None:
    job = ann.post(PATH, json=BATCH).json
    assert job
    assert job["total"] == 3
    rows = ann.get(f"{PATH}/{job['id']}/results").json
    assert rows
    assert [row["lead_id"] for row in rows["results"]] == ["lead_1", "lead_2", "lead_3"]


def test_addresses_are_validated(ann: Caller) -> None:
    emails = ["john@example.com", "jane@company.com"]
    said = {"type": "email_validation", "payload": {"emails": emails}, "priority": 1}
    job = ann.post(PATH, json=said).json
    assert job
    assert (job["kind"], job["total"], job["lane"]) == (
        "email_validation",
        2,
        "verification-queue",
    )


def test_the_same_request_sent_twice_makes_one_job(ann: Caller) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first, second = (ann.post(PATH, json=SINGLE, headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json
    assert second.json
    assert first.json["id"] == second.json["id"]
    assert second.headers["Idempotency-Replayed"] == "true"
    other = ann.post(PATH, json={**SINGLE, "priority": 1}, headers=headers)
    assert other.status_code == 422
    assert other.json
    assert other.json["code"] == "idempotency_key_reused"


def _without(*names: str) -> Callable[[], dict[str, Any]]:
    def make() -> dict[str, Any]:
        payload = {k: v for k, v in SINGLE["payload"].items() if k not in names}
        return {**SINGLE, "payload": payload}

    return make


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({**SINGLE, "type": "walk_the_dog"}, "type"),
        ({**SINGLE, "colour": "red"}, "colour"),
        ({**SINGLE, "priority": 6}, "priority"),
        ({**SINGLE, "payload": {**SINGLE["payload"], "providerId": "nobody"}}, "nobody"),
        (
            {**SINGLE, "payload": {**SINGLE["payload"], "enrichmentTypes": ["shoes"]}},
            "'payload.enrichmentTypes.0'",
        ),
        (
            {**SINGLE, "payload": {**SINGLE["payload"], "inputData": {"email": "not an address"}}},
            "lead_123",
        ),
        ({**SINGLE, "webhookUrl": "ftp://example.com"}, "webhookUrl"),
        ({**BATCH, "payload": {**BATCH["payload"], "leadIds": ["lead_1", "lead_1"]}}, "twice"),
        (_without("leadId")(), "leadId"),
        ([], "type"),
    ],
)
def test_what_is_wrong_is_said_before_there_is_a_job(ann: Caller, said: Any, word: str) -> None:
    answer = ann.post(PATH, json=said)
    assert answer.status_code == 422
    assert answer.json
    assert word in str(answer.json), answer.json
    listed = ann.get(PATH).json
    assert listed is not None
    assert listed["jobs"] == []


def test_a_job_for_later_is_scheduled(ann: Caller) -> None:
    job = ann.post(PATH, json={**SINGLE, "scheduledFor": "2099-01-01T00:00:00Z"}).json
    assert job
    assert (job["status"], job["scheduled_for"]) == ("scheduled", "2099-01-01T00:00:00Z")
