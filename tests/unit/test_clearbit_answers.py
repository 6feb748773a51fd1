"""Clearbit's words: a person and a company, now or later."""

import json
from typing import Any

import pytest

from app.enrichment.lookup import Answer
from app.enrichment.providers.clearbit_answers import read_callback, read_reply
from app.provider_errors import (
    OutOfCredit,
    ProviderError,
    Rejected,
    StillLooking,
    Throttled,
    Unauthorized,
    Unavailable,
)
from tests.unit.enrichment_replies import ask, quoting, reply, tells_nothing

FOUND: dict[str, Any] = {
    "person": {
        "name": {"fullName": "Ann Lee", "givenName": "Ann", "familyName": "Lee"},
        "location": "Berlin, DE",
        "employment": {"title": "Head of Sales"},
        "linkedin": {"handle": "in/ann"},
        "twitter": {"handle": "@ann"},
        "github": {"handle": None},
    },
    "company": {
        "name": "Secret Shop",
        "domain": "secret-shop.example",
        "phone": "+49 30 1234567",
        "category": {"industry": "Retail"},
        "metrics": {"employees": 42},
        "geo": {"country": "Germany"},
        "linkedin": {"handle": "company/secret-shop"},
    },
}


def read(fields: Any, status: int = 200, *wanted: str, webhook_id: str | None = None) -> Answer:
    lookup = ask(*wanted, email="ann@secret-shop.example")
    return read_reply(reply(fields, status), lookup, webhook_id=webhook_id)


def test_each_field_is_found_under_our_name() -> None:
    answer = read(FOUND)
    assert {name: f.value for name, f in answer.findings.items()} == {
        "first_name": "Ann",
        "last_name": "Lee",
        "full_name": "Ann Lee",
        "location": "Berlin, DE",
        "position": "Head of Sales",
        "linkedin_url": "https://linkedin.com/in/ann",
        "twitter_url": "https://twitter.com/ann",
        "company": "Secret Shop",
        "domain": "secret-shop.example",
        "company_phone": "+49 30 1234567",
        "company_industry": "Retail",
        "company_size": "42",
        "company_country": "Germany",
        "company_linkedin_url": "https://linkedin.com/company/secret-shop",
    }


def test_nobody_is_a_miss() -> None:
    assert read({"person": None, "company": None}).is_miss
    assert read({"error": {"type": "unknown_record", "message": quoting()}}, 404).is_miss


@pytest.mark.parametrize("body", [b"", b"<html>", {}, {"error": "not found"}])
def test_a_404_of_somebody_else_is_no_miss(body: Any) -> None:
    with pytest.raises(Unavailable):
        read(body, 404)


def test_a_202_is_pending_where_somebody_can_be_called() -> None:
    assert read({}, 202, webhook_id="w1").pending == "w1"
    with pytest.raises(StillLooking):
        read({}, 202)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected),
        (401, Unauthorized),
        (402, OutOfCredit),
        (403, Unauthorized),
        (422, Rejected),
        (429, Throttled),
        (500, Unavailable),
        (302, Unavailable),
    ],
)
def test_each_status_is_one_kind_of_error(status: int, kind: type[ProviderError]) -> None:
    with pytest.raises(ProviderError) as caught:
        read({"error": {"type": "odd", "message": quoting()}}, status)
    assert type(caught.value) is kind
    assert tells_nothing(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"<html>secret-shop",
        [],
        {},
        {"person": "secret-shop"},
        {"person": {"name": "secret-shop"}},
        {"person": {"name": {"givenName": 5}}},
        {"person": {"linkedin": {"handle": 5}}},
        {"person": {"linkedin": {"handle": "x" * 600}}},
        {"company": []},
        {"company": {"phone": "secret-shop"}},
        {"company": {"metrics": {"employees": "many" * 200}}},
    ],
)
def test_what_makes_no_sense_is_unavailable_and_never_a_miss(fields: Any) -> None:
    with pytest.raises(Unavailable) as caught:
        read(fields)
    assert tells_nothing(caught.value)


def test_what_was_not_wanted_is_not_looked_at() -> None:
    answer = read({"person": "secret-shop", "company": FOUND["company"]}, 200, "phone")
    assert list(answer.findings) == ["company_phone"]


def later(**fields: Any) -> bytes:
    return json.dumps({"id": "w1", "status": 200, "type": "person_company", **fields}).encode()


def test_a_later_call_is_read_as_the_answer_it_stands_for() -> None:
    asked = {"w1": ask("company", email="ann@x.example")}
    outcome = read_callback(later(body=FOUND), asked)["w1"]
    assert isinstance(outcome, Answer)
    assert outcome.findings["company"].value == "Secret Shop"
    missed = read_callback(later(status=404, body=None), asked)["w1"]
    assert isinstance(missed, Answer)
    assert missed.is_miss
    assert read_callback(later(id="strange", body=FOUND), asked) == {}


@pytest.mark.parametrize(
    "body", [later(status=500), later(status="200", body=FOUND), later(), later(body="odd")]
)
def test_a_later_call_without_an_answer_is_an_error(body: bytes) -> None:
    assert isinstance(read_callback(body, {"w1": ask()})["w1"], Unavailable)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": 5}'])
def test_a_later_call_that_makes_no_sense_is_refused(body: bytes) -> None:
    with pytest.raises(Unavailable):
        read_callback(body, {"w1": ask()})
