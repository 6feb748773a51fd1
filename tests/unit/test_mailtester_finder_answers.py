"""What a verification of a candidate means for the lead whose address it may be."""

from typing import Any, cast

import pytest

from app.enrichment.lookup import Answer, Lookup
from app.enrichment.providers.mailtester import ASK_AGAIN_SECONDS, MailTesterFinder, read
from app.enrichment.providers.mailtester_addresses import candidates_of
from app.mailtester.answers import VERDICTS, Checked
from app.provider_errors import StillLooking

LOOKUP = Lookup.of(["email"], first_name="Anna", last_name="Smith", domain="acme.example")
CANDIDATE = candidates_of(LOOKUP.person)[1]


def said(code: str, message: str, following: str | None = "first") -> Answer:
    verdict = VERDICTS.get((code, message.lower())) or VERDICTS[code, None]
    return read(Checked(verdict, code, message, None), LOOKUP, CANDIDATE, following)


@pytest.mark.parametrize("message", ["Accepted", "Something new"])
def test_what_the_server_accepts_is_found_with_the_pattern_s_score(message: str) -> None:
    answer = said("ok", message)
    email = answer.findings["email"]
    assert (email.value, email.provider, email.score) == ("asmith@acme.example", "mailtester", 80)
    assert (answer.next_step, answer.credits) == (None, 1)


@pytest.mark.parametrize("message", ["Rejected", "Something new"])
def test_what_it_refuses_leads_to_the_next(message: str) -> None:
    answer = said("ko", message)
    assert (answer.next_step, answer.credits, answer.is_miss) == ("first", 1, False)
    last = said("ko", message, following=None)
    assert (last.next_step, last.is_miss, last.code, last.credits) == (
        None,
        True,
        "none_accepted",
        1,
    )


@pytest.mark.parametrize(
    ("code", "message", "why"),
    [
        ("ko", "No MX", "no_mx"),
        ("ko", "Disposable", "disposable"),
        ("mb", "Catch-All", "catch_all"),
    ],
)
def test_what_holds_for_the_whole_domain_ends_the_search(code: str, message: str, why: str) -> None:
    answer = said(code, message)
    assert (answer.is_miss, answer.code, answer.credits) == (True, why, 1)
    assert answer.note
    assert "acme" not in answer.note


@pytest.mark.parametrize(
    "message", ["Timeout", "Greylisted", "SPAM Block", "MX Error", "anna.smith@acme.example"]
)
def test_what_is_no_verdict_is_an_error_that_was_paid_for(message: str) -> None:
    with pytest.raises(StillLooking) as caught:
        said("mb", message)
    assert (caught.value.credits, caught.value.retry_after) == (1, ASK_AGAIN_SECONDS)
    assert "acme" not in caught.value.message


def needs(domain: str) -> str | None:
    finder = MailTesterFinder(cast("Any", None), base_url="", token_url="")
    return finder.needs(Lookup.of(["email"], first_name="Anna", last_name="Smith", domain=domain))


@pytest.mark.parametrize(
    "domain",
    [
        *("gmail.com", "googlemail.com", "yahoo.com", "yahoo.co.uk", "yahoo.fr", "yahoo.com.br"),
        *("hotmail.co.uk", "hotmail.de", "outlook.de", "live.nl", "msn.com", "gmx.at", "gmx.com"),
        *("me.com", "icloud.com", "comcast.net", "web.de", "orange.fr", "libero.it", "qq.com"),
        *("mail.ru", "yandex.com", "wp.pl", "uol.com.br", "proton.me", "163.com"),
    ],
)
def test_nobody_is_looked_for_where_everybody_may_have_an_address(domain: str) -> None:
    assert "mail service for everybody" in (needs(domain) or "")


@pytest.mark.parametrize(
    "domain", ["acme.example", "yahoo.acme.com", "gmailing.com", "livenation.com"]
)
def test_a_company_s_own_domain_is_asked(domain: str) -> None:
    assert needs(domain) is None
