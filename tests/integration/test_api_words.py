"""What the API says of a request that it refuses: what is wrong, where, and what there is instead."""

import io
import json
from collections.abc import Sequence
from typing import Any

import pytest

from app.enrichment.submit import MOST_LEADS
from app.http import model_bases
from app.http.model_bases import MOST_TOLD, unknown_field
from tests.factories import make_person, make_tenant
from tests.integration.http_world import CSV, Caller, Web
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
    assert told["email"] == "is needed", "what else is wrong is told beside it"


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


LEAD = SINGLE["payload"]["inputData"]
KNOWN_TYPES = "'email', 'company', 'social', 'phone' or 'person'"


@pytest.mark.parametrize(
    ("sent", "field", "message"),
    [
        ({"priority": 9}, "priority", "must be at most 5"),
        ({"priority": 0}, "priority", "must be at least 1"),
        ({"priority": "high"}, "priority", "must be a whole number"),
        ({"priority": 1.5}, "priority", "must be a whole number"),
        ({"title": 7}, "title", "must be a text"),
        ({"title": "x" * 201}, "title", "must have 200 characters at most"),
        ({"tags": "import"}, "tags", "must be a list"),
        ({"tags": [""]}, "tags.0", "must not be empty"),
        ({"tags": ["x"] * 21}, "tags", "must have 20 entries at most"),
        (
            {"scheduledFor": "tomorrow"},
            "scheduledFor",
            "must be a time with its zone, as 2026-11-22T10:15:30Z",
        ),
        (
            {"scheduledFor": "2099-01-01T00:00:00"},
            "scheduledFor",
            "must be a time with its zone, as 2026-11-22T10:15:30Z",
        ),
        ({"payload": {"leadId": "a"}}, "payload.inputData", "is needed"),
        (
            {"payload": {"leadId": "a", "inputData": LEAD, "verify": "perhaps"}},
            "payload.verify",
            "must be true or false",
        ),
        (
            {"payload": {"leadId": "a", "inputData": LEAD, "enrichmentTypes": ["mail"]}},
            "payload.enrichmentTypes.0",
            f"must be {KNOWN_TYPES}",
        ),
        (
            {"payload": {"leadId": "a", "inputData": {**LEAD, "email": "a\x00b"}}},
            "payload.inputData.email",
            "holds a NUL character",
        ),
    ],
)
def test_each_message_says_what_must_be_sent(
    ann: Caller, sent: dict[str, Any], field: str, message: str
) -> None:
    said = refused(ann, "POST", PATH, json={**SINGLE, **sent})
    assert said["errors"] == [{"field": field, "message": message}]
    # Beside an unknown field it is the same.
    more = refused(ann, "POST", PATH, json={**SINGLE, **sent, "{colour}": "red"})
    assert {"field": field, "message": message} in more["errors"]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("email", "the e-mail must be like ann@acme.example."),
        ("domain", "the domain must be like acme.example."),
        ("linkedinUrl", "the LinkedIn address must be like https://linkedin.com/in/ann."),
    ],
)
def test_what_is_known_of_a_lead_is_told_how_to_be_written(
    ann: Caller, field: str, words: str
) -> None:
    said = refused(ann, "POST", PATH, json=with_data(**{field: "no such@thing"}))
    assert said["detail"] == f"The lead 'lead_123': {words}"
    form = {"purpose": "enrich", "enrichment_types": "mail"}
    said = refused(ann, "POST", "/api/uploads", data={**form, "file": (io.BytesIO(CSV), "l.csv")})
    assert said["detail"] == f"enrichment_types.0: must be {KNOWN_TYPES}"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({}, "must be a column's name, or its number from 1"),
        (True, "must be a column's name, or its number from 1"),
        (0, "must be at least 1"),
        ("x" * 201, "must have 200 characters at most"),
    ],
)
def test_a_column_is_named_or_numbered(ann: Caller, column: object, message: str) -> None:
    form = {"purpose": "enrich", "columns": json.dumps({"email": column})}
    said = refused(ann, "POST", "/api/uploads", data={**form, "file": (io.BytesIO(CSV), "l.csv")})
    assert said["errors"] == [{"field": "columns.email", "message": message}]


def test_ids_and_parts_of_a_query_are_told_in_the_same_words(ann: Caller) -> None:
    said = refused(ann, "POST", f"{PATH}/bulk", json={"action": "cancel", "jobIds": ["x", 7]})
    message = "must be an id, as 019ab3c4-7d00-7abc-8def-0123456789ab"
    assert said["errors"] == [{"field": f"jobIds.{n}", "message": message} for n in (0, 1)]
    assert refused(ann, "GET", f"{PATH}?limit=x")["detail"] == "limit: must be a whole number"
    said = refused(ann, "GET", "/api/webhooks/deliveries?event=x")
    assert [each["field"] for each in said["errors"]] == ["event"]
    assert said["detail"].endswith("or 'endpoint.test'")


@pytest.mark.parametrize("word", ["emai", "zzz"])
def test_however_much_is_wrong_the_answer_is_short(web: Web, word: str) -> None:
    nobody = web.caller()
    sent = {f"{word}{n}": 1 for n in range(5_000)}
    said = refused(nobody, "POST", "/api/auth/login", json=sent)
    assert len(said["errors"]) == MOST_TOLD
    assert said["errors"][:2] == [
        {"field": "email", "message": "is needed"},
        {"field": "password", "message": "is needed"},
    ]
    assert len(str(said)) < 50_000


def test_more_leads_than_there_may_be_are_refused_unread(ann: Caller) -> None:
    known = {str(n): {"firstNam": "Ann"} for n in range(MOST_LEADS + 1)}
    payload = {"leadIds": ["a"], "inputData": known}
    said = refused(ann, "POST", PATH, json={"type": "batch_lead_enrichment", "payload": payload})
    assert said["errors"] == [
        {"field": "payload.inputData", "message": f"has more than {MOST_LEADS} leads"}
    ]


def test_of_wrong_leads_no_more_are_read_than_can_be_told(
    ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    worded = list[str]()

    def word(said: str, names: Sequence[str]) -> str:
        worded.append(said)
        return unknown_field(said, names)

    monkeypatch.setattr(model_bases, "unknown_field", word)
    ids = [str(n) for n in range(MOST_LEADS)]
    known = {each: {f"nam{n}": "x" for n in range(40)} for each in ids}
    payload = {"leadIds": ids, "inputData": known}
    said = refused(ann, "POST", PATH, json={"type": "batch_lead_enrichment", "payload": payload})
    assert len(said["errors"]) == MOST_TOLD
    assert len(worded) <= 10 * 40


def test_wrong_leads_are_told_wherever_among_the_others_they_stand(ann: Caller) -> None:
    ids = [str(n) for n in range(MOST_LEADS)]
    known: dict[str, Any] = {each: dict(LEAD) for each in ids}
    known["3"], known["700"] = {"firstNam": "x"}, {"email": 7}
    payload = {"leadIds": ids, "inputData": known}
    said = refused(ann, "POST", PATH, json={"type": "batch_lead_enrichment", "payload": payload})
    fields = [each["field"] for each in said["errors"]]
    assert fields == ["payload.inputData.3.firstNam", "payload.inputData.700.email"]
    assert said["errors"][0]["message"].endswith("Did you mean firstName?")
    assert said["errors"][1]["message"] == "must be a text"
