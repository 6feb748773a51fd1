"""One lead's way: which of two values stays, when the search ends, what the next provider is told, what it comes to."""

from datetime import UTC, datetime
from typing import cast
from uuid import uuid4

import aiohttp
import pytest

from app.enrichment import closing
from app.enrichment.course import Course
from app.enrichment.guide import Guide, Step
from app.enrichment.lookup import FIELDS, Finding, Kind, Lookup
from app.enrichment.memory import Memory, Question, Remembered
from app.enrichment.providers.apollo import Apollo
from app.enrichment.providers.hunter import Hunter
from app.enrichment.reading import read_error
from app.provider_errors import Rejected, Throttled, Unavailable
from routing.key_pool import Throttled as Blocked

NOW = datetime.now(UTC)
CHAIN = ("apollo", "hunter")


def course(*wanted: Kind, min_score: int = 0, **known: str) -> Course:
    person = {"first_name": "Anna", "last_name": "Smith", "domain": "acme.example", **known}
    return Course(Lookup.of(wanted or (Kind.EMAIL,), **person), CHAIN, min_score)


def email(score: int | None, value: str = "anna@acme.example") -> dict[str, Finding]:
    return {"email": Finding("email", value, "apollo", score, NOW)}


@pytest.mark.parametrize(("first", "second"), [(40, 90), (90, 40)])
def test_of_two_values_the_surer_one_stays(first: int, second: int) -> None:
    lead = course(min_score=95)
    lead.answer("apollo", "found", email(first, f"{first}@acme.example"))
    lead.answer("hunter", "found", email(second, f"{second}@acme.example"))
    assert lead.findings["email"].value == "90@acme.example"


@pytest.mark.parametrize(
    ("score", "asks_on"), [(79, "hunter"), (80, None), (None, None), (0, "hunter")]
)
def test_an_email_that_is_not_sure_enough_is_looked_for_further(
    score: int | None, asks_on: str | None
) -> None:
    lead = course(min_score=80)
    lead.answer("apollo", "found", email(score))
    assert lead.next_provider() == asks_on
    assert lead.verdict == ("partial" if asks_on else "found")


def test_the_next_provider_is_not_told_an_email_that_is_not_sure_enough() -> None:
    lead = course(Kind.EMAIL, Kind.PHONE, min_score=80)
    lead.answer("apollo", "found", email(20))
    asked = lead.question(frozenset(Kind))
    assert asked is not None
    assert (asked.person.email, asked.wanted) == ("", {Kind.EMAIL, Kind.PHONE})
    lead.answer("hunter", "found", email(90))
    asked = lead.question(frozenset(Kind))
    assert asked is not None
    assert (asked.person.email, asked.wanted) == ("anna@acme.example", {Kind.PHONE})


def test_what_was_found_is_no_failure_when_the_attempts_ran_out() -> None:
    lead = course(Kind.EMAIL, Kind.PHONE)
    lead.answer("apollo", "found", email(90))
    lead.failures["hunter"] = Unavailable("It is away.")
    outcome = closing.broken_off(1, lead, "provider_unavailable", "It is away.")
    assert (outcome.verdict, outcome.is_failure) == ("partial", False)
    nothing = closing.broken_off(1, course(), "provider_unavailable", "It is away.")
    assert (nothing.verdict, nothing.is_failure) == ("unknown", True)


@pytest.mark.parametrize(
    ("error", "is_shared", "answers", "fails"),
    [
        (Rejected("no"), False, {"apollo": "refused"}, False),
        (Rejected("no"), True, {}, False),
        (Unavailable("away"), False, {}, True),
        (Unavailable("away"), True, {}, False),
        (Throttled("too fast"), False, {}, False),
    ],
)
def test_what_an_error_says_of_a_lead(
    error: Rejected | Unavailable | Throttled,
    is_shared: bool,
    answers: dict[str, str],
    fails: bool,
) -> None:
    lead, noted = course(), list[object]()
    question = Question(uuid4(), "apollo", lead.lookup.identity)
    step = Step(1, lead, "apollo", 10, question, lead.lookup)
    read_error(step, error, 5, noted.append, is_shared=is_shared)
    assert (lead.answers, "apollo" in lead.failures, len(noted)) == (answers, fails, 1)


def test_a_miss_is_kept_for_a_shorter_time_than_a_find() -> None:
    memory = Memory({"email": 30, "phone": 10, "miss": 3})
    day = 86_400
    wanted = [Kind.EMAIL, Kind.PHONE]
    assert memory.seconds_to_keep([Kind.EMAIL], is_miss=False) == 30 * day
    assert memory.seconds_to_keep(wanted, is_miss=False) == 10 * day
    assert memory.seconds_to_keep(wanted, is_miss=True) == 3 * day


def test_what_is_remembered_is_forgotten_when_its_time_is_over() -> None:
    moment = [0.0]
    memory = Memory({}, lambda: moment[0])
    question = Question(uuid4(), "apollo", "x")
    memory.keep(question, Remembered({}, NOW, 60))
    moment[0] = 59.0
    assert memory.recall(question) is not None
    moment[0] = 60.0
    assert memory.recall(question) is None


def test_a_question_is_made_once_until_something_new_is_known() -> None:
    lead = course(Kind.EMAIL, Kind.SOCIAL)
    finds = frozenset({Kind.EMAIL, Kind.SOCIAL})
    first = lead.question(finds)
    assert first is lead.question(finds) is lead.lookup
    lead.answer("apollo", "miss", {})
    assert lead.question(finds) is first
    lead.answer("hunter", "found", email(90))
    asked = lead.question(finds)
    assert asked is not None
    assert (asked.wanted, asked.person.email) == ({Kind.SOCIAL}, "anna@acme.example")


def industry() -> dict[str, Finding]:
    return {"company_industry": Finding("company_industry", "retail", "apollo", None, NOW)}


@pytest.mark.parametrize("known", [{}, {"company": "Acme"}, {"company": "Acme", "domain": ""}])
def test_a_company_that_the_client_named_is_not_found(known: dict[str, str]) -> None:
    lead = course(Kind.COMPANY, **known)
    assert lead.missing == {Kind.COMPANY}
    assert lead.next_provider() == "apollo"
    lead.answer("apollo", "found", industry())
    assert (lead.next_provider(), lead.verdict) == (None, "found")


@pytest.mark.parametrize("name", [n for n, kind in FIELDS.items() if kind is Kind.COMPANY])
def test_anything_that_a_provider_says_of_the_company_is_company_data(name: str) -> None:
    lead = course(Kind.COMPANY)
    lead.answer("apollo", "found", {name: Finding(name, "x", "apollo", None, NOW)})
    assert not lead.missing


def guide(closed: str = "") -> Guide:
    session = cast("aiohttp.ClientSession", None)
    providers = {"apollo": Apollo(session), "hunter": Hunter(session)}
    found = Guide(providers, Memory({}), uuid4(), lambda _: None)
    if closed:
        found.close(closed, Blocked(NOW, "no_keys", 60))
    return found


@pytest.mark.parametrize("closed", ["", "apollo"])
def test_a_company_that_nobody_can_be_asked_about_is_not_found_and_waits_for_no_key(
    closed: str,
) -> None:
    way = guide(closed)
    lead = course(Kind.COMPANY, first_name="", last_name="")
    assert way.next_step(1, lead, note=lambda _: None) is None
    assert way.soonest(lead) is None
    outcome = closing.unasked(1, lead)
    assert (outcome.verdict, outcome.code, outcome.is_failure) == (
        "not_found",
        "nobody_to_ask",
        False,
    )
    assert outcome.data
    assert set(outcome.data["providers"]) == {"apollo", "hunter"}


def test_a_provider_that_could_be_asked_is_waited_for() -> None:
    way, lead = (
        guide("apollo"),
        course(Kind.COMPANY, full_name="Anna", last_name="", email="a@b.example"),
    )
    assert way.next_step(1, lead, note=lambda _: None) is None
    assert way.soonest(lead) is not None
    assert not lead.is_out_of_reach


def test_a_person_that_nobody_can_be_asked_about_stays_unknown() -> None:
    lead = course(Kind.EMAIL, first_name="", last_name="")
    assert guide().next_step(1, lead, note=lambda _: None) is None
    outcome = closing.unasked(1, lead)
    assert (outcome.verdict, outcome.is_failure) == ("unknown", True)


def test_a_refused_question_about_a_company_is_no_answer() -> None:
    lead = course(Kind.COMPANY)
    lead.answer("apollo", "refused", {})
    lead.skipped["hunter"] = "no"
    assert closing.unasked(1, lead).code == "provider_rejected"


def test_a_step_is_good_while_the_lead_is_known_as_it_was() -> None:
    lead = course(Kind.EMAIL, Kind.COMPANY, min_score=80)
    lead.steps["hunter"] = "2"
    lead.answer("apollo", "found", email(20))
    assert lead.steps == {"hunter": "2"}, "an e-mail that is not sure enough is not told"
    found = {"company": Finding("company", "Acme", "apollo", None, NOW)}
    lead.answer("apollo", "found", found)
    assert lead.steps == {}


def test_whoever_answers_has_no_step_left_and_what_it_said_is_told() -> None:
    lead = course()
    lead.steps["hunter"] = "2"
    lead.answer("hunter", "miss", {}, "Nobody can tell.")
    assert lead.steps == {}
    assert lead.data()["providers"] == {"hunter": "miss: Nobody can tell."}
    assert closing.answered(1, lead).message == "Not found: e-mail. Nobody can tell."
    lead.answer("apollo", "found", email(90))
    assert closing.answered(1, lead).message == "Found: e-mail."


@pytest.mark.parametrize(
    ("wanted", "known", "given"),
    [
        (Kind.EMAIL, {"email": "a@b.example"}, {"email": "a@b.example"}),
        (
            Kind.SOCIAL,
            {"linkedin_url": "https://linkedin.com/in/a"},
            {"linkedin_url": "https://linkedin.com/in/a"},
        ),
    ],
)
def test_what_the_client_gave_is_not_looked_for_and_not_counted_as_found(
    wanted: Kind, known: dict[str, str], given: dict[str, str]
) -> None:
    lead = course(wanted, Kind.COMPANY, **known)
    assert lead.missing == {Kind.COMPANY}
    lead.answer("apollo", "miss", {})
    assert lead.verdict == "not_found"
    lead.answer("hunter", "found", industry())
    assert lead.verdict == "found"
    outcome = closing.answered(1, lead)
    assert (outcome.data or {})["given"] == given
    assert (outcome.message or "").startswith("Found: company. Given: ")


def test_where_all_was_given_nothing_is_missing_and_nobody_found_it() -> None:
    lead = course(Kind.EMAIL, email="a@b.example")
    assert lead.next_provider() is None
    outcome = closing.answered(1, lead)
    assert (outcome.verdict, outcome.is_failure) == ("found", False)
    assert outcome.message == "Given: e-mail. There was nothing to look for."
    assert lead.data() == {"fields": {}, "providers": {}, "given": {"email": "a@b.example"}}


def test_a_name_is_no_data_about_the_person() -> None:
    lead = course(Kind.PERSON, full_name="Anna Smith")
    assert lead.missing == {Kind.PERSON}
    lead.answer("apollo", "found", {"position": Finding("position", "CEO", "apollo", None, NOW)})
    assert (lead.verdict, lead.given) == ("found", frozenset())


def test_of_a_profile_for_which_only_profiles_are_wanted_the_others_are_looked_for() -> None:
    lead = course(Kind.SOCIAL, linkedin_url="https://linkedin.com/in/a")
    assert lead.next_provider() == "apollo"
    github = Finding("github_url", "https://github.com/a", "apollo", None, NOW)
    lead.answer("apollo", "found", {"github_url": github})
    assert (lead.verdict, lead.next_provider(), lead.given) == ("found", None, frozenset())
