"""What the API says of a request that it refuses: what is wrong, where, and what there is instead."""

from typing import Any

import pytest

from app.enrichment.submit import MOST_LEADS
from app.http.model_bases import MOST_TOLD
from tests.factories import make_person, make_tenant
from tests.integration.http_world import Caller, Web
from tests.integration.test_enrichment_api import PATH, SINGLE

TYPES = (
    "single_lead_enrichment",
    "batch_lead_enrichment",
    "company_data_update",
    "social_profile_discovery",
    "email_validation",
    "bulk",
)


@pytest.fixture
def ann(web: Web) -> Caller:
    return web.caller(make_person(make_tenant()))


def refused(ann: Caller, method: str, path: str, **sent: Any) -> dict[str, Any]:
    answer = ann.call(method, path, **sent)
    assert answer.status_code == 422, answer.text
    return dict(answer.json or {})


def with_data(**more: Any) -> dict[str, Any]:
    known = {**SINGLE["payload"]["inputData"], **more}
    return {**SINGLE, "payload": {**SINGLE["payload"], "inputData": known}}


def test_an_unknown_type_or_status_is_refused_with_those_that_there_are(ann: Caller) -> None:
    for name, some in (("type", TYPES), ("status", ("pending", "dead_letter"))):
        listed = refused(ann, "GET", f"{PATH}?{name}=zzz")
        bulk = {"action": "retry", "filter": {name: "zzz"}}
        for said in (listed, refused(ann, "POST", f"{PATH}/bulk", json=bulk)):
            assert said["errors"][0]["field"].endswith(name)
            for one in some:
                assert f"'{one}'" in said["detail"]
    for one in TYPES:
        assert ann.get(f"{PATH}?type={one}").status_code == 200


def test_an_unknown_field_is_told_with_those_that_there_are_and_the_one_that_was_meant(
    ann: Caller,
) -> None:
    said = refused(ann, "POST", PATH, json={**SINGLE, "webhookURL": "https://a.example/x"})
    assert said["errors"] == [
        {
            "field": "webhookURL",
            "message": "unknown field; allowed here: priority, maxRetries, webhookUrl, tags, scheduledFor, title, type, "
            "payload. Did you mean webhookUrl?",
        }
    ]
    said = refused(ann, "GET", f"{PATH}/metrics?type=email_validation")
    assert said["detail"] == "type: unknown field; allowed here: window"
    said = refused(ann, "POST", "/api/auth/login", json={"mail": "a@b.example", "password": "x"})
    told = {each["field"]: each["message"] for each in said["errors"]}
    assert told["mail"].endswith("allowed here: email, password. Did you mean email?")
    assert told["email"] == "Field required", "what else is wrong is told beside it"


def test_a_field_is_spelt_in_one_way(ann: Caller) -> None:
    said = refused(ann, "POST", PATH, json=with_data(first_name="Ann"))
    assert said["errors"][0]["field"] == "payload.inputData.first_name"
    assert said["detail"].endswith("Did you mean firstName?")
    assert "lastName, fullName, company" in said["detail"]
    said = refused(ann, "POST", PATH, json={**SINGLE, "max_retries": 1})
    assert said["detail"].endswith("Did you mean maxRetries?")
    said = refused(ann, "GET", f"{PATH}?created_after=2026-01-01T00:00:00Z")
    assert said["detail"].endswith("Did you mean createdAfter?")


def test_what_is_wrong_with_all_of_a_request_is_said_of_the_body(ann: Caller) -> None:
    said = refused(ann, "PUT", f"{PATH}/019ab3c4-7d00-7abc-8def-0123456789ab", json={})
    assert said["errors"][0]["field"] == "body"
    said = refused(ann, "POST", f"{PATH}/bulk", json={"action": "cancel"})
    assert said["detail"] == "body: needs either jobIds or filter"
    assert "_schema" not in refused(ann, "POST", PATH, json={"type": "zzz"})["detail"]
    assert "_schema" not in str(refused(ann, "POST", PATH, json=[]))


@pytest.mark.parametrize(
    ("headers", "title", "words"),
    [
        ({}, "A token is needed", "Authorization: Bearer"),
        ({"Authorization": "Basic eA=="}, "The token is not valid", "Authorization: Bearer"),
        ({"Authorization": "Bearer eyJx"}, "The token is not valid", "access token"),
        ({"Authorization": "Bearer lw_" + "x" * 43}, "The token is not valid", "API token"),
    ],
)
def test_a_program_without_a_good_token_is_told_of_the_token(
    web: Web, headers: dict[str, str], title: str, words: str
) -> None:
    answer = web.caller().get(PATH, headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    said = answer.json or {}
    assert (said["title"], said["code"]) == (title, "unauthenticated")
    assert words in said["detail"]
    assert "Sign in" not in said["detail"]


@pytest.mark.parametrize("word", ["emai", "zzz"])
def test_however_much_is_wrong_the_answer_is_short(web: Web, word: str) -> None:
    nobody = web.caller()
    sent = {f"{word}{n}": 1 for n in range(5_000)}
    said = refused(nobody, "POST", "/api/auth/login", json=sent)
    assert len(said["errors"]) == MOST_TOLD
    assert said["errors"][:2] == [
        {"field": "email", "message": "Field required"},
        {"field": "password", "message": "Field required"},
    ]
    assert len(str(said)) < 50_000


def test_more_leads_than_there_may_be_are_refused_unread(ann: Caller) -> None:
    known = {str(n): {"firstNam": "Ann"} for n in range(MOST_LEADS + 1)}
    payload = {"leadIds": ["a"], "inputData": known}
    said = refused(ann, "POST", PATH, json={"type": "batch_lead_enrichment", "payload": payload})
    assert said["errors"] == [
        {"field": "payload.inputData", "message": f"has more than {MOST_LEADS} leads"}
    ]
