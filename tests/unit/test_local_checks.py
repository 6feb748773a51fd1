"""Checks that need no network: syntax and throw-away domains."""

import asyncio

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.mail_addresses import parse_address
from app.verdicts import Verdict
from app.verification.local_checks import LocalChecks
from app.verification.provider import Answer


def check(checks: LocalChecks, email: str) -> Answer | None:
    return asyncio.run(checks.check(email))


@pytest.mark.parametrize(
    "email",
    [
        "",
        "plain",
        "@example.com",
        "a@",
        "a@@example.com",
        "a b@example.com",
        ".a@example.com",
        "a..b@example.com",
        "a@example",
        "a@-example.com",
        "a@example..com",
        "a@localhost",
        "a@printer.local",
        "a@" + "b" * 64 + ".com",
        "a@example.com\n",
        "=1+1@example.com,",
    ],
)
def test_what_is_no_address_costs_nothing(email: str) -> None:
    answer = check(LocalChecks(), email)
    assert answer is not None
    assert (answer.verdict, answer.code, answer.provider) == (Verdict.INVALID, "syntax", "local")
    assert answer.message
    assert not answer.is_paid
    assert check(LocalChecks(check_syntax=False), email) is None


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("avery.sample+tag@Example.COM", "example.com"),
        ("a@shop.test", "shop.test"),
        ("a@bücher.example", "xn--bcher-kva.example"),
        ("a@xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("josé@example.org", "example.org"),
        ("o'neil@example.org", "example.org"),
    ],
)
def test_an_address_is_read_with_its_domain_in_ascii(email: str, domain: str) -> None:
    assert parse_address(email).domain == domain
    assert check(LocalChecks(), email) is None


def test_a_throw_away_domain_is_invalid_unless_switched_off() -> None:
    answer = check(LocalChecks(), "someone@MAILINATOR.com")
    assert answer is not None
    assert (answer.verdict, answer.code) == (Verdict.INVALID, "disposable")
    assert check(LocalChecks(check_disposable=False), "someone@mailinator.com") is None


@given(
    st.from_regex(r"\A[A-Za-z0-9._+-]{1,12}@[A-Za-z0-9.-]{1,24}\.[A-Za-z]{1,4}\Z")
    | st.from_regex(r"\A[a-z-]{1,4}@([a-z0-9-]{1,5}\.){1,3}(com|test|arpa|local|xn--p1ai)\Z")
)
@example("a@ab--cd.example.com")
@example("a@xn--a.example.com")
@example("a@x.invalid")
def test_the_quick_pattern_agrees_with_the_library(email: str) -> None:
    try:
        found = validate_email(email, check_deliverability=False, test_environment=True)
        expected = (found.local_part, (found.ascii_domain or "").lower())
    except EmailNotValidError:
        with pytest.raises(InvalidInput):
            parse_address(email)
        return
    address = parse_address(email)
    assert (address.local, address.domain) == expected


@given(st.text(max_size=80))
def test_no_text_breaks_the_checks(text: str) -> None:
    check(LocalChecks(), text)
