"""What the simulated enrichment vendors know about a person."""

from collections import Counter

import pytest

from app.enrichment.normal_forms import normal_domain, normal_email
from sandbox.people import Question, decide


def kinds(question: Question, calls: int) -> list[str]:
    return [decide(question, nth).kind for nth in range(1, calls + 1)]


def test_proportions_are_sensible() -> None:
    found = Counter(decide(Question(email=f"lead{n}@shop.example"), 1).kind for n in range(3_000))
    assert 0.65 < found["found"] / 3_000 < 0.75
    assert 0.15 < found["miss"] / 3_000 < 0.25
    assert set(found) == {"found", "low", "miss"}


@pytest.mark.parametrize(
    "question",
    [
        Question("Ann", "miss-Lee", "Shop", "found-shop.example"),
        Question("miss-Ann", "Lee", "Shop", "shop.example"),
        Question("Ann", "Lee", domain="MISS-shop.example"),
        Question(email="miss-ann@shop.example"),
    ],
)
def test_the_first_word_that_is_there_decides(question: Question) -> None:
    assert decide(question, 1).kind == "miss"


def test_a_name_with_a_dash_forces_nothing() -> None:
    plain = {
        decide(Question(first_name=f"Ann{n}", last_name="Berg-Lee"), 1).kind for n in range(99)
    }
    assert plain == {"found", "low", "miss"}


def test_trouble_with_a_number_passes() -> None:
    for word, kind in (("flaky2", "error500"), ("throttled2", "throttled"), ("later2", "later")):
        assert kinds(Question(last_name=f"{word}-Lee"), 3) == [kind, kind, "found"]
    slow = decide(Question(last_name="slow250-Lee"), 1)
    assert (slow.kind, slow.slow_ms) == ("found", 250)


@pytest.mark.parametrize(
    "question",
    [
        Question(linkedin_url="https://linkedin.example/in/morgan-sketch"),
        Question(linkedin_url="https://linkedin.example/"),
        Question("Ann", "Lee", company="株式会社"),
        Question("株式", "Lee", company="Shop"),
        Question("Ann", "Lee Jr.", company="Shop"),
        Question("J. R.", ". Lee", company="Shop"),
        Question("A" * 60, "Lee", company="A very long name " * 9),
    ],
)
def test_what_the_vendors_know_makes_sense_of_whoever_is_asked_about(question: Question) -> None:
    assert normal_email(question.found_email) == question.found_email
    assert normal_domain(question.host) == question.host


def test_a_profile_tells_the_name_where_nothing_else_does() -> None:
    profile = "https://linkedin.example/in/morgan-de-sketch/"
    assert Question(linkedin_url=profile).names == ("Morgan", "De Sketch")
    assert Question("Ann", "Lee", linkedin_url=profile).names == ("Ann", "Lee")


def test_the_record_names_the_person_however_it_was_asked() -> None:
    assert Question("Ann", "Lee", domain="shop.example").subject == "Ann Lee @ shop.example"
    assert Question("Ann", "Lee", company="Big Shop").found_email == "ann.lee@bigshop.example"
    assert Question(linkedin_url="https://linkedin.com/in/ann").subject.endswith("/in/ann")
