"""One spelling for a lead, and the key that is made of it."""

import contextlib
import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.enrichment.lookup import FIELDS, Answer, Kind, Lookup, Person
from app.enrichment.normal_forms import normal_domain, normal_url
from app.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("", ""),
        ("  ", ""),
        ("Shop.Example", "shop.example"),
        ("shop.example.", "shop.example"),
        ("https://www.Shop.example/about?x=1", "shop.example"),
        ("shop.example:8080", "shop.example"),
        ("MÜNCHEN.example", "xn--mnchen-3ya.example"),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
    ],
)
def test_a_domain_has_one_spelling(text: str, domain: str) -> None:
    assert normal_domain(text) == domain


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", ""),
        ("linkedin.com/in/ann", "https://linkedin.com/in/ann"),
        ("http://www.LinkedIn.com/in/ann/?trk=abc#top", "https://linkedin.com/in/ann"),
    ],
)
def test_a_profile_has_one_spelling(text: str, url: str) -> None:
    assert normal_url(text, "linkedin_url") == url


@pytest.mark.parametrize(
    "known",
    [
        {"domain": "no domain"},
        {"domain": "http://"},
        {"domain": "http://[::1"},
        {"email": "secret-name"},
        {"email": "a@b"},
        {"linkedin_url": "javascript:secret-name"},
        {"linkedin_url": "ftp://shop.example/secret-name"},
        {"linkedin_url": "https://ann:secret-name@linkedin.com/in/ann"},
        {"company": "x" * 501},
    ],
)
def test_what_cannot_be_read_is_refused_by_the_name_of_its_field(known: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        Person.of(**known)
    assert caught.value.extra["field"] == next(iter(known))
    assert "secret-name" not in caught.value.message
    assert caught.value.__context__ is None


def test_the_same_lead_is_the_same_question_however_it_is_written() -> None:
    one = Lookup.of(["email"], first_name=" Ann ", last_name="de  Vries", domain="WWW.Shop.example")
    two = Lookup.of([Kind.EMAIL], first_name="ann", last_name="DE VRIES", domain="shop.example.")
    composed, apart = (Lookup.of(["email"], last_name=text) for text in ("Zo\u00eb", "Zoe\u0308"))
    assert one.identity == two.identity
    assert composed == apart
    assert len(one.identity) == 64


def test_another_lead_or_another_wish_is_another_question() -> None:
    lookups = [
        Lookup.of(["email"], first_name="Ann", last_name="Lee"),
        Lookup.of(["email"], first_name="AnnLee"),
        Lookup.of(["email"], first_name="Lee", last_name="Ann"),
        Lookup.of(["email", "phone"], first_name="Ann", last_name="Lee"),
        Lookup.of(["email"], full_name="Ann Lee"),
    ]
    assert len({lookup.identity for lookup in lookups}) == len(lookups)


def test_the_key_does_not_change_between_versions() -> None:
    lookup = Lookup.of(["email", "phone"], first_name="Ann", last_name="Lee", domain="shop.example")
    assert lookup.identity == "f605f638bd33aaee7d2a3ef595f71f0da1f6fea2aae915637281a2417f7895eb"


@given(st.text(max_size=60))
def test_normalising_twice_is_normalising_once(text: str) -> None:
    once = Person.of(company=text).company
    assert Person.of(company=once).company == once
    assert once.isprintable()
    assert Lookup.of([], company=text).identity == Lookup.of([], company=once).identity


@given(st.sampled_from(["domain", "email", "linkedin_url"]), st.text(max_size=40))
def test_no_text_escapes_the_refusal(name: str, text: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert getattr(Person.of(**{name: text}), name).isprintable()


def test_a_lead_does_not_show_in_logs() -> None:
    lookup = Lookup.of(["email"], last_name="Secretname")
    assert "Secretname" not in repr(lookup)


def test_every_field_of_a_person_that_is_asked_can_be_found() -> None:
    assert set(Person.__slots__) <= set(FIELDS)
    assert set(FIELDS.values()) == set(Kind)


def test_a_miss_is_nothing_found_and_nothing_to_come() -> None:
    assert Answer().is_miss
    assert not Answer(pending="7").is_miss


@pytest.mark.parametrize(
    "known",
    [
        {"first_name": 'An"n\\a', "last_name": "Šmídová", "company": "株式会社"},
        {"full_name": "Straße ẞ", "email": "Ann@Shop.example", "linkedin_url": "linkedin.com/in/a"},
        {},
    ],
)
def test_an_identity_is_the_hash_of_its_json(known: dict[str, str]) -> None:
    """What is remembered was found by this very text, and must be found by it."""
    lookup = Lookup.of(list(Kind), **known)
    fields = {name: getattr(lookup.person, name).casefold() for name in Person.__slots__}
    text = json.dumps([fields, sorted(lookup.wanted)], sort_keys=True, ensure_ascii=True)
    assert lookup.identity == hashlib.sha256(text.encode()).hexdigest()
    assert replace(lookup, wanted=frozenset({Kind.PHONE})).identity != lookup.identity


@given(st.from_regex(r"[A-Za-z0-9.-]{1,30}", fullmatch=True))
def test_a_plain_host_is_read_as_it_is_in_an_address(host: str) -> None:
    def read(text: str) -> str | None:
        with contextlib.suppress(InvalidInput):
            return normal_domain(text)
        return None

    assert read(host) == read(f"https://{host}/")
