"""Apollo's words: rows in order, nulls that are misses, what is promised for later."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.enrichment.lookup import Answer
from app.enrichment.providers.apollo_answers import read_bulk, read_single
from app.provider_errors import (
    OutOfCredit,
    ProviderError,
    Rejected,
    Throttled,
    Unauthorized,
    Unavailable,
)
from tests.unit.enrichment_replies import JSON, ask, quoting, reply, tells_nothing

PERSON: dict[str, Any] = {
    "id": "p1",
    "first_name": "Annabella",
    "last_name": "Secretname",
    "name": "Annabella Secretname",
    "linkedin_url": "http://www.linkedin.com/in/annabella",
    "title": "Head of Sales",
    "email": "annabella@secret-shop.example",
    "email_status": "verified",
    "extrapolated_email_confidence": None,
    "organization": {
        "name": "Secret Shop",
        "primary_domain": "secret-shop.example",
        "industry": "retail",
        "estimated_num_employees": 42,
        "linkedin_url": "http://www.linkedin.com/company/secret-shop",
        "country": "Germany",
        "phone": "+49 30 1234567",
    },
}


def single(fields: Any, *wanted: str, calls_back: bool = False) -> Any:
    return read_single(reply(fields), ask(*wanted), calls_back=calls_back)


def person(**changes: Any) -> Any:
    return {"person": {**PERSON, **changes}}


def test_each_field_is_found_under_our_name() -> None:
    answer = single(person())
    assert {name: f.value for name, f in answer.findings.items()} == {
        "email": "annabella@secret-shop.example",
        "full_name": "Annabella Secretname",
        "position": "Head of Sales",
        "linkedin_url": "https://linkedin.com/in/annabella",
        "company": "Secret Shop",
        "company_industry": "retail",
        "company_size": "42",
        "company_linkedin_url": "https://linkedin.com/company/secret-shop",
        "company_country": "Germany",
        "company_phone": "+49 30 1234567",
    }
    assert {f.provider for f in answer.findings.values()} == {"apollo"}


@pytest.mark.parametrize(
    ("status", "confidence", "score"),
    [
        ("verified", None, 100),
        ("verified", 0.4, 100),
        ("extrapolated", 0.4, 40),
        ("guessed", None, None),
        (None, None, None),
        (["odd"], None, None),
    ],
)
def test_a_score_is_the_vendors_own(status: Any, confidence: Any, score: int | None) -> None:
    fields = person(email_status=status, extrapolated_email_confidence=confidence)
    assert single(fields, "email").findings["email"].score == score


@pytest.mark.parametrize(
    "changes",
    [
        {"email": None},
        {"email": ""},
        {"email": "email_not_unlocked@domain.com"},
        {"email": "someone@else.example", "email_status": "unavailable"},
    ],
)
def test_no_email_is_found_where_none_was_told(changes: dict[str, Any]) -> None:
    assert single(person(**changes), "email").is_miss


def test_nobody_is_a_miss() -> None:
    assert single({"person": None}).is_miss
    assert single({"person": None}, calls_back=True).is_miss


def test_matches_answer_details_in_order() -> None:
    other = {**PERSON, "email": "b@b.example"}
    fields = {"matches": [PERSON, None, {"email": 5}, other, "odd"], "credits_consumed": 3}
    outcomes = read_bulk(reply(fields), [ask("email")] * 5, calls_back=False)
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Answer, Answer, Unavailable, Answer, Unavailable]
    first, missed, _, last, _ = outcomes
    assert isinstance(first, Answer)
    assert isinstance(missed, Answer)
    assert isinstance(last, Answer)
    assert missed.is_miss
    assert last.findings["email"].value == "b@b.example"
    assert (first.credits, missed.credits, last.credits) == (1.5, 0.0, 1.5)


@pytest.mark.parametrize("cost", [None, "3", -1, float("nan"), True, [], 1e39, 1e-50])
def test_a_cost_that_cannot_be_read_loses_no_answer(cost: Any) -> None:
    fields = {"matches": [PERSON], "credits_consumed": cost}
    (outcome,) = read_bulk(reply(fields), [ask()], calls_back=False)
    assert isinstance(outcome, Answer)
    assert outcome.credits is None


def test_a_charge_for_nothing_is_shared_by_all() -> None:
    fields = {"matches": [None, None], "credits_consumed": 1}
    outcomes = read_bulk(reply(fields), [ask()] * 2, calls_back=False)
    assert [o.credits for o in outcomes if isinstance(o, Answer)] == [0.5, 0.5]


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"<html>secret-shop",
        [],
        {},
        {"matches": None},
        {"matches": {}},
        {"matches": [None]},
        {"matches": [None] * 3},
    ],
)
def test_rows_that_nobody_can_tell_apart_are_refused_whole(fields: Any) -> None:
    with pytest.raises(Unavailable):
        read_bulk(reply(fields), [ask()] * 2, calls_back=False)


@pytest.mark.parametrize(
    "fields",
    [
        {"person": []},
        {"person": "secret-shop"},
        person(email=17),
        person(email="secret-shop"),
        person(extrapolated_email_confidence="high", email_status=None),
        person(extrapolated_email_confidence=1.5, email_status=None),
        person(organization="secret-shop"),
        person(organization={"estimated_num_employees": -1}),
        person(organization={"estimated_num_employees": True}),
        person(phone_numbers="secret-shop"),
        person(phone_numbers=[None]),
        person(phone_numbers=[{"sanitized_number": "secret-shop"}]),
    ],
)
def test_a_row_that_makes_no_sense_is_an_error_and_no_miss(fields: Any) -> None:
    outcome = single(fields)
    assert isinstance(outcome, Unavailable)
    assert tells_nothing(outcome)


def test_a_reply_without_a_person_makes_no_sense() -> None:
    for fields in ({}, [], b"null"):
        with pytest.raises(Unavailable):
            single(fields)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected),
        (401, Unauthorized),
        (402, OutOfCredit),
        (403, Unauthorized),
        (404, Unavailable),
        (422, Rejected),
        (429, Throttled),
        (500, Unavailable),
        (302, Unavailable),
    ],
)
def test_each_status_is_one_kind_of_error(status: int, kind: type[ProviderError]) -> None:
    with pytest.raises(ProviderError) as caught:
        read_single(reply({"error": quoting()}, status), ask(), calls_back=False)
    assert type(caught.value) is kind
    assert tells_nothing(caught.value)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "9"}, 9),
        ({"retry_after": "9", "x_minute_requests_left": "0"}, 9),
        ({"x_minute_requests_left": "0", "x_hourly_requests_left": "12"}, 60),
        ({"x_minute_requests_left": "0", "x_hourly_requests_left": "0"}, 3_600),
        ({"x_24_hour_requests_left": "0", "x_minute_requests_left": "5"}, 86_400),
        ({"x_minute_requests_left": "none"}, None),
    ],
)
def test_a_429_lasts_as_long_as_the_window_that_is_used_up(
    headers: dict[str, str], seconds: int | None
) -> None:
    with pytest.raises(Throttled) as caught:
        read_single(reply({}, 429, **headers), ask(), calls_back=False)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("changes", "wanted", "pending"),
    [
        ({"email": None}, ("email",), "p1"),
        ({}, ("email",), None),
        ({}, ("email", "phone"), "p1"),
        ({"email": None}, ("company",), None),
        ({"email": None, "id": 77}, ("email",), "77"),
        ({"email": None, "id": None}, ("email",), None),
        ({"email": None, "id": ["p1"]}, ("email",), None),
    ],
)
def test_what_is_still_missing_is_pending_under_the_persons_id(
    changes: dict[str, Any], wanted: tuple[str, ...], pending: str | None
) -> None:
    fields = {**person(**changes), "request_id": 5, "waterfall": {"status": "accepted"}}
    assert single(fields, *wanted, calls_back=True).pending == pending
    assert single(fields, *wanted, calls_back=False).pending is None


def test_a_search_that_was_not_taken_on_is_not_pending() -> None:
    fields = {**person(email=None), "waterfall": {"status": "failed"}}
    assert single(fields, "email", calls_back=True).is_miss


@given(st.sampled_from([*PERSON, "phone_numbers"]), JSON)
def test_no_value_of_any_field_escapes_the_errors(name: str, value: Any) -> None:
    with contextlib.suppress(ProviderError):
        single(person(**{name: value}), calls_back=True)
