"""Hunter's words: what is found, what is missed, and which error each refusal is."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.enrichment.providers.hunter_answers import read_reply
from app.provider_errors import (
    KeyEffect,
    OutOfCredit,
    ProviderError,
    Rejected,
    StillLooking,
    Throttled,
    Unauthorized,
    Unavailable,
    policy_of,
)
from tests.unit.enrichment_replies import JSON, ask, quoting, reply, tells_nothing

DATA: dict[str, Any] = {
    "first_name": "Annabella",
    "last_name": "Secretname",
    "email": "annabella@secret-shop.example",
    "score": 92,
    "domain": "secret-shop.example",
    "position": "Head of Sales",
    "company": "Secret Shop",
    "linkedin_url": "https://www.linkedin.com/in/annabella/",
    "phone_number": None,
    "verification": {"date": "2026-01-31", "status": "valid"},
    "sources": [],
}


def found(**changes: Any) -> Any:
    return {"data": {**DATA, **changes}, "meta": {}}


def refusal(status: int, word: str) -> Any:
    return {"errors": [{"id": word, "code": status, "details": quoting()}]}


def test_each_field_is_found_under_our_name() -> None:
    answer = read_reply(reply(found()), ask())
    assert {name: f.value for name, f in answer.findings.items()} == {
        "email": "annabella@secret-shop.example",
        "position": "Head of Sales",
        "company": "Secret Shop",
        "linkedin_url": "https://linkedin.com/in/annabella",
    }
    email = answer.findings["email"]
    assert (email.provider, email.score) == ("hunter", 92)
    assert email.found_at.utcoffset() is not None
    assert (answer.credits, answer.pending, answer.is_miss) == (None, None, False)


def test_only_what_was_wanted_is_looked_at() -> None:
    answer = read_reply(reply(found(position=5, linkedin_url=[])), ask("email"))
    assert list(answer.findings) == ["email"]


@pytest.mark.parametrize("email", [None, ""])
def test_no_email_is_a_miss_though_the_question_comes_back(email: str | None) -> None:
    assert read_reply(reply(found(email=email, score=None)), ask()).is_miss


def test_a_404_of_the_vendors_own_is_a_miss_and_no_other() -> None:
    assert read_reply(reply(refusal(404, "not_found"), 404), ask()).is_miss
    for other in (b"<html>", {}, {"errors": []}, {"errors": "none"}):
        with pytest.raises(Unavailable):
            read_reply(reply(other, 404), ask())


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected),
        (401, Unauthorized),
        (402, OutOfCredit),
        (403, Throttled),
        (422, Rejected),
        (429, OutOfCredit),
        (451, Rejected),
        (202, StillLooking),
        (201, Unavailable),
        (302, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
@pytest.mark.parametrize("body", ["errors", "html"])
def test_each_status_is_one_kind_of_error(
    status: int, kind: type[ProviderError], body: str
) -> None:
    content = refusal(status, quoting()) if body == "errors" else b"<html>secret-shop"
    with pytest.raises(ProviderError) as caught:
        read_reply(reply(content, status, retry_after="7"), ask())
    assert type(caught.value) is kind
    assert caught.value.retry_after == 7
    assert tells_nothing(caught.value)


def test_a_used_up_plan_opens_the_key_and_too_fast_only_slows_it_down() -> None:
    with pytest.raises(OutOfCredit) as spent:
        read_reply(reply(refusal(429, "too_many_requests"), 429), ask())
    with pytest.raises(Throttled) as fast:
        read_reply(reply(refusal(403, "too_many_requests"), 403), ask())
    assert policy_of(spent.value).key_effect is KeyEffect.OPEN
    assert policy_of(fast.value).key_effect is KeyEffect.SLOW_DOWN


def test_a_known_code_of_the_vendor_is_shown() -> None:
    with pytest.raises(Rejected, match="claimed_email"):
        read_reply(reply(refusal(451, "claimed_email"), 451), ask())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"data": {"email',
        b"\xff\xfe",
        b"[" * 100_000,
        b"null",
        [],
        {},
        {"data": None},
        {"data": []},
        {"data": {}},
        {"data": {"score": 9}},
        found(email=17),
        found(email=True),
        found(email=["a@b.example"]),
        found(email="secret-shop"),
        found(email="a@b.example, secret@secret-shop.example"),
        found(email="x" * 100_000 + "@b.example"),
        found(score="92"),
        found(score=101),
        found(score=-1),
        found(score=True),
        found(position={"title": "secret-shop"}),
        found(position="x" * 501),
        found(linkedin_url="javascript:alert(1)"),
        found(phone_number="secret-shop"),
        found(phone_number=49301234567),
        json.dumps(found()).replace("92", "NaN").encode(),
        json.dumps(found()).replace("92", "1e999").encode(),
        json.dumps(found()).replace("92", "9" * 400).encode(),
    ],
)
def test_what_makes_no_sense_is_unavailable_and_never_a_miss(body: Any) -> None:
    with pytest.raises(Unavailable) as caught:
        read_reply(reply(body), ask())
    assert tells_nothing(caught.value)


def test_texts_are_fit_to_store() -> None:
    answer = read_reply(reply(found(position="Head\x00 of\n\ud800Sales ")), ask())
    assert answer.findings["position"].value == "Head of Sales"


@given(st.binary(max_size=200), st.integers(100, 599))
def test_no_body_escapes_the_errors(raw: bytes, status: int) -> None:
    with contextlib.suppress(ProviderError):
        read_reply(reply(raw, status), ask())


@given(st.sampled_from(sorted(DATA)), JSON)
def test_no_value_of_any_field_escapes_the_errors(name: str, value: Any) -> None:
    with contextlib.suppress(ProviderError):
        answer = read_reply(reply(found(**{name: value})), ask())
        assert all(f.value and f.value.isprintable() for f in answer.findings.values())
