"""Apollo's later call: which row it is about, what it brings, and what is not believed."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.enrichment.lookup import Answer
from app.enrichment.providers.apollo_answers import read_callback
from app.provider_errors import ProviderError, Unavailable
from tests.unit.enrichment_replies import JSON, ask


def call(*people: Any, **extra: Any) -> bytes:
    return json.dumps({"people": people, **extra}).encode()


def test_a_later_call_brings_what_was_missing() -> None:
    row = {
        "id": "p1",
        "emails": [{"email": "late@secret-shop.example", "email_status": "verified"}],
        "phone_numbers": [{"raw_number": "x", "sanitized_number": "+4915112345678"}],
    }
    asked = {"p1": ask(), "p2": ask("email"), "p3": ask()}
    outcomes = read_callback(call(row, {"id": "p2"}, {"id": "strange"}, "odd"), asked)
    assert set(outcomes) == {"p1", "p2"}
    first, second = outcomes["p1"], outcomes["p2"]
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert first.findings["email"].score == 100
    assert first.findings["phone"].value == "+4915112345678"
    assert second.is_miss


def test_a_later_row_that_makes_no_sense_is_an_error() -> None:
    rows = [{"id": "p1", "emails": [5]}, {"id": "p2", "phone_numbers": {}}]
    outcomes = read_callback(call(*rows), {"p1": ask(), "p2": ask()})
    assert {type(outcome) for outcome in outcomes.values()} == {Unavailable}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"people": {}}', b"[" * 50_000])
def test_a_later_call_that_makes_no_sense_is_refused(body: bytes) -> None:
    with pytest.raises(Unavailable):
        read_callback(body, {"p1": ask()})


@given(st.sampled_from(["id", "emails", "phone_numbers"]), JSON)
def test_no_value_of_any_field_escapes_the_errors(name: str, value: Any) -> None:
    with contextlib.suppress(ProviderError):
        read_callback(call({"id": "p1", name: value}), {"p1": ask()})


def test_a_call_about_a_part_leaves_the_rest_to_another_call() -> None:
    number = {"sanitized_number": "+4915112345678"}
    mail = {"email": "late@secret-shop.example", "email_status": "verified"}
    rows = [
        {"id": "phone", "phone_numbers": [number]},
        {"id": "mail", "emails": [mail]},
        {"id": "vain", "emails": [], "phone_numbers": [number]},
        {"id": "mail_only", "emails": []},
    ]
    asked = {str(row["id"]): ask("email", "phone") for row in rows}
    asked["mail_only"] = ask("email")
    outcomes = read_callback(call(*rows), asked)
    assert {n: isinstance(o, Answer) and o.pending for n, o in outcomes.items()} == {
        "phone": "phone",
        "mail": "mail",
        "vain": None,
        "mail_only": None,
    }
