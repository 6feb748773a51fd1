"""Hunter's words about an address: verdicts word by word, and which error each refusal is."""

import contextlib
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clients.keys import PROVIDERS as KEY_PROVIDERS
from app.errors import InvalidInput
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
from app.settings import Settings
from app.verdicts import Verdict
from app.verification.hunter_answers import VERDICTS, read_reply
from app.verification.providers import PROVIDERS, check_provider
from tests.unit.enrichment_replies import quoting, reply, tells_nothing


def said(**data: Any) -> Any:
    return {"data": {"score": 97, "email": "a@shop.example", **data}, "meta": {}}


def refusal(status: int, word: str) -> Any:
    return {"errors": [{"id": word, "code": status, "details": quoting()}]}


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("valid", Verdict.VALID),
        ("invalid", Verdict.INVALID),
        ("accept_all", Verdict.CATCH_ALL),
        ("disposable", Verdict.INVALID),
        ("unknown", Verdict.UNKNOWN),
    ],
)
def test_each_status_is_one_verdict(status: str, verdict: Verdict) -> None:
    answer = read_reply(reply(said(status=status)))
    assert (answer.verdict, answer.code, answer.message, answer.provider) == (
        verdict,
        status,
        "score 97 of 100",
        "hunter",
    )
    assert answer.is_paid


@pytest.mark.parametrize(
    ("smtp_check", "verdict"),
    [
        (True, Verdict.VALID),
        (False, Verdict.UNKNOWN),
        (None, Verdict.UNKNOWN),
        ("yes", Verdict.UNKNOWN),
    ],
)
def test_a_large_services_mailbox_is_valid_only_where_its_server_said_so(
    smtp_check: object, verdict: Verdict
) -> None:
    assert read_reply(reply(said(status="webmail", smtp_check=smtp_check))).verdict is verdict


def test_the_table_has_every_status_of_the_documents_and_no_other() -> None:
    assert set(VERDICTS) == {"valid", "invalid", "accept_all", "webmail", "disposable", "unknown"}


@pytest.mark.parametrize("score", [None, "high", True, -1, 101, 1e400])
def test_a_score_that_makes_no_sense_costs_no_verdict(score: object) -> None:
    answer = read_reply(reply(said(status="valid", score=score)))
    assert (answer.verdict, answer.message) == (Verdict.VALID, "")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": None},
        {"data": []},
        {"data": {}},
        said(status="deliverable"),
        said(status=["valid"]),
    ],
)
def test_what_is_not_in_the_documents_is_no_verdict(body: Any) -> None:
    with pytest.raises(Unavailable):
        read_reply(reply(body))


@pytest.mark.parametrize(
    ("status", "kind", "effect"),
    [
        (202, StillLooking, KeyEffect.NONE),
        (222, StillLooking, KeyEffect.NONE),
        (400, Rejected, KeyEffect.NONE),
        (401, Unauthorized, KeyEffect.OPEN),
        (402, OutOfCredit, KeyEffect.OPEN),
        (403, Throttled, KeyEffect.SLOW_DOWN),
        (404, Unavailable, KeyEffect.FAILURE),
        (302, Unavailable, KeyEffect.FAILURE),
        (429, OutOfCredit, KeyEffect.OPEN),
        (451, Rejected, KeyEffect.NONE),
        (500, Unavailable, KeyEffect.FAILURE),
    ],
)
def test_each_other_status_is_one_error(
    status: int, kind: type[ProviderError], effect: KeyEffect
) -> None:
    with pytest.raises(ProviderError) as caught:
        read_reply(reply(refusal(status, "wrong_params"), status))
    assert type(caught.value) is kind
    assert policy_of(caught.value).key_effect is effect
    assert tells_nothing(caught.value)


@given(st.binary(max_size=200), st.sampled_from([200, 202, 400, 403, 429, 451, 500]))
def test_no_body_escapes_the_errors(raw: bytes, status: int) -> None:
    with contextlib.suppress(ProviderError):
        read_reply(reply(raw, status))


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    assert check_provider("hunter") == "hunter"
    with pytest.raises(InvalidInput, match=r"'zerobounce'.*hunter, mailtester"):
        check_provider("zerobounce")


def test_the_setting_and_the_keys_know_every_provider() -> None:
    names = set(get_args(Settings.model_fields["verification_provider"].annotation))
    assert names == set(PROVIDERS)
    assert names <= set(KEY_PROVIDERS)
