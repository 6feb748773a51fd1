"""The addresses that the MailTester finder tries: which, in what order, and of which names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.enrichment.lookup import Person
from app.enrichment.providers.mailtester_addresses import (
    ALONE,
    INITIAL,
    MOST,
    WHOLE,
    candidates_of,
)
from app.mail_addresses import parse_address


def locals_of(**known: str) -> list[str]:
    found = candidates_of(Person.of(**{"domain": "acme.example", **known}))
    return [candidate.email.rpartition("@")[0] for candidate in found]


def first_of(domain: str = "acme.example", **known: str) -> str:
    return locals_of(domain=domain, **known)[0]


def test_the_usual_ones_come_in_their_order_each_with_its_score() -> None:
    found = candidates_of(Person.of(first_name="Anna", last_name="Smith", domain="acme.example"))
    assert [(c.pattern, c.email, c.score) for c in found] == [
        ("first.last", "anna.smith@acme.example", WHOLE),
        ("flast", "asmith@acme.example", INITIAL),
        ("first", "anna@acme.example", ALONE),
        ("firstlast", "annasmith@acme.example", WHOLE),
        ("f.last", "a.smith@acme.example", INITIAL),
        ("first_last", "anna_smith@acme.example", WHOLE),
        ("last", "smith@acme.example", ALONE),
        ("firstl", "annas@acme.example", INITIAL),
    ]
    assert len(found) == MOST


@pytest.mark.parametrize(
    ("first", "last", "local"),
    [
        ("José", "Núñez", "jose.nunez"),
        ("Jean-Luc", "O\u2019Brien", "jean-luc.obrien"),
        ("Seán", "O'Neill", "sean.oneill"),
        ("Anna Maria", "van der Berg", "anna.vanderberg"),
        ("Søren", "Ærø", "soren.aero"),
        ("Łukasz", "Þór", "lukasz.thor"),
        ("Zoë", "Groß", "zoe.gross"),
        ("J.R.", "Smith", "jr.smith"),
        ("Dr. Anna", "Smith, PhD", "anna.smith"),
        ("Anna", "Smith Jr.", "anna.smith"),
        (" ANNA ", "-Smith--Jones-", "anna.smith-jones"),
        ("I\u0307lker", "Is\u0131k", "ilker.isik"),
    ],
)
def test_a_name_becomes_ascii(first: str, last: str, local: str) -> None:
    assert first_of(first_name=first, last_name=last) == local


@pytest.mark.parametrize(
    ("domain", "local"), [("acme.de", "joerg.mueller"), ("acme.example", "jorg.muller")]
)
def test_umlauts_are_spelt_out_where_german_is_spoken(domain: str, local: str) -> None:
    assert first_of(domain, first_name="Jörg", last_name="Müller") == local


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("Anna Smith", "anna.smith"),
        ("Anna Maria Smith", "anna.smith"),
        ("Ludwig van Beethoven", "ludwig.vanbeethoven"),
        ("Vincent Willem de la Cruz", "vincent.delacruz"),
        ("Prof. Dr. Anna Smith, MBA", "anna.smith"),
    ],
)
def test_a_whole_name_is_taken_apart(name: str, local: str) -> None:
    assert first_of(full_name=name) == local


@pytest.mark.parametrize(
    "known",
    [
        {"full_name": "Anna"},
        {"full_name": "Anna, Smith"},
        {"first_name": "Anna"},
        {"first_name": "\u0418\u0432\u0430\u043d", "last_name": "Petrov"},
        {"first_name": "Ivan", "last_name": "Petr\u043ev"},
        {"first_name": "…", "last_name": "Smith"},
        {"first_name": "Anna", "last_name": "Smith", "domain": ""},
    ],
)
def test_of_half_a_name_or_another_script_nothing_is_made_up(known: dict[str, str]) -> None:
    assert locals_of(**known) == []


def test_what_comes_to_the_same_is_tried_once_and_an_initial_is_worth_one() -> None:
    found = candidates_of(Person.of(first_name="J", last_name="Smith", domain="acme.example"))
    assert [(c.pattern, c.email.partition("@")[0], c.score) for c in found] == [
        ("first.last", "j.smith", INITIAL),
        ("flast", "jsmith", INITIAL),
        ("first_last", "j_smith", INITIAL),
        ("last", "smith", ALONE),
        ("firstl", "js", INITIAL),
    ]


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_the_name_all_are_addresses_and_few(first: str, last: str) -> None:
    found = candidates_of(Person(first_name=first, last_name=last, domain="acme.example"))
    assert len({c.email for c in found}) == len({c.pattern for c in found}) == len(found) <= MOST
    for candidate in found:
        assert str(parse_address(candidate.email)) == candidate.email
