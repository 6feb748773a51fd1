"""A plain address is read without the thorough reader, and exactly as that one would."""

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.mail_addresses import parse_address


def of_length(n: int) -> str:
    """An address of n characters, of labels that are not too long."""
    left = n - len("a@.com")
    labels = ["b" * 50] * (left // 51)
    return f"a@{'.'.join(['c' * (left - 51 * len(labels)), *labels])}.com"


def thoroughly(text: str) -> tuple[str, str] | None:
    """(local, domain) as email-validator reads it."""
    try:
        found = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return None
    return found.local_part, (found.ascii_domain or "").lower()


def read(text: str) -> tuple[str, str] | None:
    try:
        found = parse_address(text)
    except InvalidInput:
        return None
    return found.local, found.domain


EDGES = [
    *(of_length(n) for n in (253, 254, 255, 256)),
    *("a" * n + "@acme.example.com" for n in (1, 63, 64, 65)),
    *(f"a@{'b' * n}.com" for n in (1, 62, 63, 64)),
    *(f"a@b.{'c' * n}" for n in (1, 2, 63, 64)),
    "Ann.Lee+X@Shop.Example.COM",
    *("a@b@acme.com", "@acme.com", "a@", "a", "", "@", "a@@acme.com"),
    *("a@acme.com\n", "a\n@acme.com", "\na@acme.com", "a@acme.com ", "a @acme.com"),
    *(".a@acme.com", "a.@acme.com", "a..b@acme.com", "a@.acme.com", "a@acme.com.", "a@acme..com"),
    *(
        "a@-acme.com",
        "a@acme-.com",
        "a@a_b.com",
        "a@acme.c0m",
        "a@acme",
        "a@1.2.3.4",
        "a@[1.2.3.4]",
    ),
    *(
        "a@xn--bcher-kva.example.com",
        "a@ab--c.com",
        "a@bücher.com",
        "ä@acme.com",
        "a@\uff21cme.com",
    ),
    *("a@acme.test", "a@acme.TEST", "a@acme.local", "a@acme.invalid", "a@acme.onion", "a@x.arpa"),
    *("a%b@acme.com", '"a b"@acme.com', "a'b@acme.com", "o'neil@acme.com", "a(b)@acme.com"),
]


@pytest.mark.parametrize("text", EDGES, ids=range(len(EDGES)))
def test_an_address_is_read_as_the_thorough_reader_reads_it(text: str) -> None:
    # Twice: what is known of a domain is kept.
    assert read(text) == thoroughly(text)
    assert read(text) == thoroughly(text)


@given(
    st.from_regex(
        r"[aZ0._+%@-]{0,4}@([aZ0_-]{0,3}\.){0,2}(com|COM|test|local|c|xn--p1ai)\n?", fullmatch=True
    )
)
def test_so_is_any_other(text: str) -> None:
    assert read(text) == thoroughly(text)
