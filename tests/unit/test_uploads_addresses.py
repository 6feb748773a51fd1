"""Addresses out of cells: what is unwrapped, what is refused and with which words."""

import re

import pytest
from email_validator import validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from app.uploads.addresses import address_key, is_ordinary, looks_like_address, normalise

_SPECIAL_USE = (".arpa", ".invalid", ".local", ".localhost", ".onion")


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        ("ann@example.com", "ann@example.com"),
        ("Ann.Lee+x@Example.COM", "Ann.Lee+x@example.com"),
        ("  ann@example.com\t", "ann@example.com"),
        ("\ufeffann@example.com\u00a0", "ann@example.com"),
        ("mailto:ann@example.com", "ann@example.com"),
        ("MAILTO:ann@example.com?subject=Hi", "ann@example.com"),
        ("<ann@example.com>", "ann@example.com"),
        ("Ann Lee <ann@example.com>", "ann@example.com"),
        ("Ann Lee < ann@example.com >;", "ann@example.com"),
        ("'ann@example.com'", "ann@example.com"),
        ("ann@example.com;", "ann@example.com"),
        ("ann@example.com,", "ann@example.com"),
        ("ann@example.com.", "ann@example.com"),
        ("o'brien@example.com", "o'brien@example.com"),
        ('"ann lee"@example.com', '"ann lee"@example.com'),
        ("jörg@example.com", "jörg@example.com"),
        ("ann@Müller.de", "ann@xn--mller-kva.de"),
        ("ann@xn--mller-kva.de", "ann@xn--mller-kva.de"),
        ("ann@mail.test", "ann@mail.test"),
    ],
)
def test_unwraps_an_address(raw: str, address: str) -> None:
    assert normalise(raw) == address


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "no e-mail address in this row"),
        (" \u200b", "no e-mail address in this row"),
        ("n/a", "'n/a' is not an e-mail address: it has no @"),
        ("foo@", "'foo@' has nothing after the @"),
        ("@foo.com", "'@foo.com' has nothing before the @"),
        ("a@b.com; c@d.com", "two addresses in one cell"),
        ("a@b.com/c@d.com e@f.com", "3 addresses in one cell"),
        ("ann@localhost", "'ann@localhost' is not an e-mail address: The part after the @-sign"),
        ("ann@@example.com", "is not an e-mail address"),
        ("ann..lee@example.com", "two periods in a row"),
        ("ann@-example.com", "is not an e-mail address"),
        ("ann lee@example.com", "is not an e-mail address"),
        ("a" * 65 + "@example.com", "too long before the @"),
        ("x" * 400 + "@example.com", "is too long to be an e-mail address"),
        ("x" * 4000, "too long"),
    ],
)
def test_says_why_not(raw: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        normalise(raw)


def test_one_mailbox_has_one_key() -> None:
    assert address_key(normalise("Ann@EXAMPLE.com")) == address_key(normalise("ann@example.COM "))


def test_a_long_cell_does_not_count_as_an_address() -> None:
    assert looks_like_address("<ann@example.com>")
    assert not looks_like_address("ann@example.com" * 100)


@settings(deadline=None)
@given(st.from_regex(r"[a-zA-Z0-9.!#'+_@-]{1,40}@[a-zA-Z0-9.-]{1,20}", fullmatch=True))
def test_the_fast_look_accepts_only_what_the_thorough_one_does(cell: str) -> None:
    # Names that lead nowhere (.local) are sound; that nobody is there is found out, not guessed.
    if is_ordinary(cell) and not cell.lower().endswith(_SPECIAL_USE):
        thorough = validate_email(
            cell, check_deliverability=False, test_environment=True, strict=True
        )
        local, _, domain = cell.rpartition("@")
        assert (thorough.local_part, thorough.ascii_domain) == (local, domain.lower())


@settings(deadline=None)
@given(st.text(max_size=80) | st.from_regex(r"[^@]{0,20}@[^@]{0,20}", fullmatch=True))
def test_any_text_gives_an_address_or_a_reason(cell: str) -> None:
    address, reason = _try(cell)
    if not address:
        assert reason
        return
    assert "@" in address
    assert not re.search(r"[\x00-\x1f\ud800-\udfff]", address)
    assert normalise(address) == address


def _try(cell: str) -> tuple[str, str]:
    try:
        return normalise(cell), ""
    except ValueError as error:
        return "", str(error)


@settings(deadline=None)
@given(st.from_regex(r"[a-z]{1,10}@([a-z0-9äß-]{1,9}\.){0,3}[a-zü-]{1,6}", fullmatch=True))
def test_the_way_an_address_is_looked_at_does_not_show(cell: str) -> None:
    """A quoted local part always takes the long way."""
    local, _, domain = cell.rpartition("@")
    short, long = _try(cell)[0], _try(f'"{local} x"@{domain}')[0]
    if domain.lower().endswith(_SPECIAL_USE):
        return
    assert short.rpartition("@")[2] == long.rpartition("@")[2]
