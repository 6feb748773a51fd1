"""What people may write into names and notes, and how what SQL wrote is shown."""

import json

import pytest

from app.accounts.tenants import check_tenant
from app.clients.printing import to_json
from app.clients.setting_rules import check_settings
from app.errors import InvalidInput
from app.plain_text import escaped, require_plain

CLEAR_SCREEN = "Acme\x1b[2J"
UNSEEN = [
    CLEAR_SCREEN,
    "a\0b",
    "a\x7fb",
    "a\x9bb",
    "a\u202eb",
    "a\u2028b",
    "a\tb",
    "a\nb",
    "a\ud800b",
]
SEEN = ["Söhne & Co.", "日本", "a\u00a0b", "🐪", "“quoted”"]


@pytest.mark.parametrize("text", UNSEEN)
def test_a_name_that_cannot_be_seen_is_refused_everywhere(text: str) -> None:
    for check in (
        lambda: require_plain("A name", text),
        lambda: check_settings({"name": text}),
        lambda: check_tenant(text, "acme"),
    ):
        with pytest.raises(InvalidInput, match="control characters"):
            check()


@pytest.mark.parametrize("text", SEEN)
def test_what_people_write_is_taken_and_shown_as_it_is(text: str) -> None:
    check_tenant(text, "acme")
    check_settings({"name": text})
    assert escaped(text) == text


def test_notes_may_have_lines_and_nothing_else() -> None:
    require_plain("Notes", "one\r\ntwo\nthree", lines=True)
    with pytest.raises(InvalidInput, match="other than line breaks"):
        require_plain("Notes", "one\ttwo", lines=True)


@pytest.mark.parametrize("text", UNSEEN)
def test_what_was_written_all_the_same_is_shown_by_number(text: str) -> None:
    shown = escaped(text)
    assert shown.isprintable()
    assert json.loads(f'"{shown}"') == text
    printed = to_json({"name": text})
    assert printed.replace("\n", "").isprintable()
    assert json.loads(printed) == {"name": text}


@pytest.mark.parametrize(
    "slug",
    [
        "0190d3a8-7c1e-7b3a-9f00-1234567890ab",
        "0190d3a87c1e7b3a9f001234567890ab",
        "0190-d3a8-7c1e-7b3a-9f00-1234567890-ab",
    ],
)
def test_a_slug_that_reads_as_an_id_is_refused(slug: str) -> None:
    with pytest.raises(InvalidInput, match="reads as an id"):
        check_tenant("Acme", slug)


@pytest.mark.parametrize("slug", ["acme", "0190d3a8", "g" * 32, "a" * 33, "a" * 31])
def test_another_slug_is_none(slug: str) -> None:
    check_tenant("Acme", slug)
