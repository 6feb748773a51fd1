"""Small rules of the edge: cursors, webhook addresses, cells of a CSV, the rate of a lane's keys."""

from contextlib import suppress
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.http.pagination import decode_item, decode_job, encode_item, encode_job
from app.jobs.export import neutralise
from app.jobs.webhook_url import check_webhook_url


@given(st.uuids(), st.integers(0, 999_999_999))
def test_cursors_come_back_as_they_went_out(job: UUID, item: int) -> None:
    assert decode_job(encode_job(job)) == job
    assert decode_item(encode_item(item)) == item


@given(st.text(max_size=60))
def test_any_other_cursor_is_refused_politely(cursor: str) -> None:
    for decode in (decode_job, decode_item):
        # Nothing but a cursor, or the one error that says so.
        with suppress(InvalidInput):
            decode(cursor)


def test_a_cursor_belongs_to_its_list() -> None:
    with pytest.raises(InvalidInput):
        decode_item(encode_job(uuid4()))
    with pytest.raises(InvalidInput):
        decode_job(encode_item(7))


@pytest.mark.parametrize(
    "url",
    ["https://example.com/hook", "http://example.com:8080/x?y=1", "https://[2001:db8::1]/hook"],
)
def test_webhooks_go_to_addresses_of_the_web(url: str) -> None:
    assert check_webhook_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com",
        "javascript:alert(1)",
        "//example.com",
        "https://",
        "https:///path",
        "https://user@example.com",
        "https://user:pw@example.com",
        "https://example.com/a b",
        "https://example.com:99999/",
        "https://exa\nmple.com",
        "https://[broken/",
        "https://example.com/" + "x" * 2048,
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        check_webhook_url(url)


@pytest.mark.parametrize("start", ["", " ", "\u00a0 ", "\ufeff", "\u200b"])
@pytest.mark.parametrize("cell", ["=1+1", "+A1", "-A1", "@SUM(1)", "\t=1", "\r=1", "\uff1d1"])
def test_a_formula_is_seen_behind_what_is_not(start: str, cell: str) -> None:
    assert neutralise(start + cell) == f"'{start}{cell}"
    assert neutralise(f"{start}-5") == f"{start}-5"


@given(st.text(max_size=50))
def test_a_neutral_cell_starts_no_formula_and_loses_nothing(cell: str) -> None:
    shown = neutralise(cell)
    assert shown.removeprefix("'") == cell.removeprefix("'")
    if shown.startswith(("=", "@", "\t", "\r")):
        raise AssertionError(shown)
    if shown.startswith(("+", "-")):
        float(shown.replace(",", "").replace(".", ""))
