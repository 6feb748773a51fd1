"""MailTester's words: which verdict each becomes, and which are no verdict at all."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mailtester.answers import (
    parse_wait,
    raise_for_status,
    read_answer,
)
from app.provider_calls import parse_header
from app.provider_errors import (
    POLICIES,
    KeyEffect,
    Limited,
    NotReady,
    OutOfCredit,
    ProviderError,
    Rejected,
    StillLooking,
    Throttled,
    Unauthorized,
    Unavailable,
    policy_of,
)
from app.verdicts import Verdict


def body(**fields: object) -> bytes:
    return json.dumps({"email": "a@b.example", "mx": "mx1.b.example", **fields}).encode()


@pytest.mark.parametrize(
    ("code", "message", "verdict"),
    [
        ("ok", "Accepted", Verdict.VALID),
        ("ko", "Rejected", Verdict.INVALID),
        ("ko", "No MX", Verdict.INVALID),
        ("ko", "Disposable", Verdict.INVALID),
        ("ko", "Something new", Verdict.INVALID),
        ("mb", "Catch-All", Verdict.CATCH_ALL),
        ("mb", "MX Error", Verdict.UNKNOWN),
        ("mb", "Timeout", Verdict.UNKNOWN),
        ("mb", "SPAM Block", Verdict.UNKNOWN),
        ("mb", "Greylisted", Verdict.UNKNOWN),
        ("mb", "Something new", Verdict.UNKNOWN),
    ],
)
def test_each_result_has_one_verdict(code: str, message: str, verdict: Verdict) -> None:
    answer = read_answer(body(code=code, message=message), hide="0123-secret")
    assert (answer.verdict, answer.code, answer.message) == (verdict, code, message)
    assert answer.mx == "mx1.b.example"


def test_limited_is_throttling_not_a_verdict() -> None:
    with pytest.raises(Throttled) as caught:
        read_answer(body(code="ko", message="Limited"), hide="0123-secret")
    policy = policy_of(caught.value)
    assert policy.retry
    assert policy.counts_attempt, "a row that is limited for ever must end"


def test_a_bad_key_is_not_a_verdict() -> None:
    with pytest.raises(Unauthorized):
        read_answer(body(code="--", message="Invalid key"), hide="0123-secret")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b'{"email": "a',
        b"[]",
        b"null",
        b"{}",
        b'{"code": 1}',
        b'{"code":"zz"}',
        b"\xff",
    ],
)
def test_a_body_that_makes_no_sense_is_unavailable(raw: bytes) -> None:
    with pytest.raises(Unavailable):
        read_answer(raw, hide="0123-secret")


@given(st.binary(max_size=200))
def test_no_body_escapes_the_errors(raw: bytes) -> None:
    with contextlib.suppress(ProviderError):
        read_answer(raw, hide="0123-secret")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected),
        (401, Unauthorized),
        (402, Unauthorized),
        (403, Unauthorized),
        (404, Unavailable),
        (302, Unavailable),
        (422, Rejected),
        (429, Throttled),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_each_status_is_one_kind_of_error(status: int, kind: type[ProviderError]) -> None:
    with pytest.raises(kind):
        raise_for_status(status, b"Unauthorized", None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Too many requests, retry in 12 s", 12),
        ("retry in 0.4 s", 1),
        ("Retry after 3 seconds", 3),
        ("retry in 250 ms", 1),
        ("retry in 2 min", 120),
        ("retry in 1 m", 60),
        ("retry in 99999999 s", 86_400),
        (f"retry in {'9' * 400} s", 86_400),
        (f"retry in {'9' * 400} ms", 86_400),
        ("slow down", None),
    ],
)
def test_the_wait_is_read_from_the_message(text: str, seconds: int | None) -> None:
    assert parse_wait(text) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), (" 7 ", 7), ("soon", None), (None, None), ("9" * 30, 86_400)]
)
def test_the_wait_is_read_from_the_header(value: str | None, seconds: int | None) -> None:
    assert parse_header(value) == seconds


def test_the_wait_of_a_429_comes_from_message_then_header() -> None:
    with pytest.raises(Throttled) as caught:
        raise_for_status(429, b'{"message": "retry in 4 s"}', "9")
    assert caught.value.retry_after == 4
    with pytest.raises(Throttled) as caught:
        raise_for_status(429, b"slow down", "9")
    assert caught.value.retry_after == 9


def test_texts_are_fit_to_store_and_hide_the_key() -> None:
    answer = read_answer(body(code="ok", message="a\x00b sekrit " + "x" * 500), hide="sekrit")
    assert "\x00" not in answer.message
    assert "sekrit" not in answer.message
    assert len(answer.message) <= 200


def test_every_kind_of_error_has_a_policy() -> None:
    for kind in (Throttled, Limited, Unavailable, NotReady, Rejected, Unauthorized):
        assert kind in POLICIES
    assert policy_of(OutOfCredit("x")) == policy_of(Unauthorized("x"))
    assert policy_of(StillLooking("x")).counts_attempt, (
        "a row that is looked for without end must end"
    )
    assert policy_of(StillLooking("x")).key_effect is KeyEffect.NONE
    assert policy_of(Throttled("x")).counts_attempt is False
    assert policy_of(Unauthorized("x")).key_effect is KeyEffect.OPEN
    assert policy_of(Rejected("x")).retry is False
