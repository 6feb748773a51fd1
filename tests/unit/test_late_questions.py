"""What is kept of a question whose answer comes later, where the vendor may call, and what a process remembers of it."""

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from pydantic import ValidationError

from app.enrichment.callbacks import Ticket
from app.enrichment.course import Course
from app.enrichment.lookup import Finding, Kind, Lookup
from app.enrichment.memory import Memory, Question
from app.enrichment.waits import Wait, describe_question, read_question
from app.settings import Settings

TENANT, OTHER = UUID(int=1), UUID(int=2)
TICKET = Ticket("apollo", TENANT, UUID(int=9))


def settings(**more: object) -> Settings:
    return Settings.model_validate({"secret_key": "x" * 32, "encryption_keys": "x" * 44, **more})


def lookup(*wanted: Kind) -> Lookup:
    return Lookup.of(wanted, first_name="Ann", last_name="Lee", domain="shop.example")


def test_an_address_names_the_call_and_proves_it() -> None:
    there = settings(public_url="https://laneway.example/base/")
    address = TICKET.address(there)
    assert address
    parts = urlsplit(address)
    assert (parts.netloc, parts.path) == ("laneway.example", "/base/api/enrichment/webhook")
    query = {name: value for name, (value,) in parse_qs(parts.query).items()}
    token = query.pop("token")
    assert query == {
        "provider": "apollo",
        "tenant": str(TENANT),
        "request": str(TICKET.request),
    }
    assert TICKET.is_proved_by(token, there)
    for strange in (
        Ticket("clearbit", TENANT, TICKET.request),
        Ticket("apollo", OTHER, TICKET.request),
        Ticket("apollo", TENANT, UUID(int=8)),
    ):
        assert not strange.is_proved_by(token, there)
    assert not TICKET.is_proved_by(token, settings(secret_key="y" * 32))
    assert not TICKET.is_proved_by("", there)


def test_without_a_public_address_there_is_none() -> None:
    assert TICKET.address(settings()) is None


@pytest.mark.parametrize(
    "url", ["laneway.example", "ftp://x", "https://x?a=b", "https://u:p@x", ""]
)
def test_a_public_address_that_can_not_be_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        settings(public_url=url)


def test_a_question_is_kept_without_what_was_found_at_once() -> None:
    question = lookup(Kind.EMAIL, Kind.PHONE)
    kept = describe_question(question, ["email", "company_phone"], (10.0, 1.0))
    assert read_question(kept) == Lookup(question.person, frozenset({Kind.PHONE}))
    assert kept["keeps"] == [10.0, 1.0]
    whole = describe_question(question, [], (10.0, 1.0))
    assert read_question(whole) == question


def test_a_field_of_a_newer_version_does_not_break_the_reading() -> None:
    kept = describe_question(lookup(Kind.EMAIL), [], (1.0, 1.0))
    kept["person"]["shoe_size"] = "42"
    assert read_question(kept) == lookup(Kind.EMAIL)


def test_a_lead_waits_for_who_owes_an_answer_and_goes_on_without_it() -> None:
    course = Course(lookup(Kind.EMAIL), ("apollo", "hunter"))
    course.answer("apollo", "pending", {})
    assert course.waits_for == "apollo"
    course.answers["apollo"] = "late"
    assert (course.waits_for, course.next_provider(), course.is_settled) == (None, "hunter", False)
    course.answer("hunter", "miss", {})
    assert course.is_settled


def test_what_was_found_before_the_silence_is_something_to_say() -> None:
    found = Finding("company", "Shop", "apollo", None, datetime.now(UTC))
    course = Course(lookup(Kind.EMAIL, Kind.PHONE), ("apollo",))
    course.answer("apollo", "pending", {"company": found})
    course.answers["apollo"] = "late"
    assert (course.is_settled, course.verdict) == (True, "partial")


def test_a_process_remembers_what_is_waited_for_until_it_is_overdue() -> None:
    now = [100.0]
    memory = Memory({}, clock=lambda: now[0])
    question = Question(TENANT, "apollo", "identity")
    wait = Wait(1, "apollo", str(TICKET.request), "p1", "identity", {}, {}, 60.0)
    memory.keep_wait(question, wait)
    now[0] += 45
    recalled = memory.recall_wait(question)
    assert recalled
    assert recalled.seconds == 15
    assert recalled.for_item(7).item_no == 7
    assert memory.recall_wait(Question(OTHER, "apollo", "identity")) is None
    now[0] += 15
    assert memory.recall_wait(question) is None
