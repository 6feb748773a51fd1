"""Delimited text: every cell comes back, odd rows are reported where they start, nothing makes it raise."""

import codecs
import csv
import io
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.uploads.csv_list import read_text
from app.uploads.limits import ReadLimits
from app.uploads.rows import BadRow, RawBlock

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "gb18030"]
#: All that UTF-8 can hold but NUL, which PostgreSQL can't; quotes, delimiters and line ends often.
CELLS = st.text(
    st.sampled_from("\",;\t|\n\r '\\ab@é\u2028\x0b")
    | st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    max_size=12,
)
ROWS = st.lists(st.lists(CELLS, min_size=2, max_size=5), max_size=30)


def _read(
    data: bytes, encoding: str = "utf-8", delimiter: str = ",", limits: ReadLimits | None = None
) -> RawBlock:
    return _join(read_text(io.BytesIO(data), encoding, delimiter, limits or ReadLimits()))


def _join(blocks: Iterable[RawBlock]) -> RawBlock:
    whole = RawBlock()
    for block in blocks:
        whole.line_nos += block.line_nos
        whole.cells += block.cells
        whole.bad += block.bad
    return whole


def _write(rows: list[list[str]], delimiter: str, ending: str, quoting: int) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator=ending, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return file.getvalue()


@settings(deadline=None)
@given(
    rows=ROWS,
    delimiter=st.sampled_from(",;\t|"),
    ending=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(ENCODINGS),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    final_ending=st.booleans(),
)
@example([["a\rb", "c"], ["é", '"']], ",", "\r\n", "utf-16", csv.QUOTE_MINIMAL, True)
def test_what_csv_writes_comes_back(  # noqa: PLR0917 - drawn by hypothesis, by name
    rows: list[list[str]],
    delimiter: str,
    ending: str,
    encoding: str,
    quoting: int,
    final_ending: bool,
) -> None:
    if ending == "\n" and any("\r" in cell for row in rows for cell in row):
        quoting = csv.QUOTE_ALL  # else the writer leaves such a cell bare
    text = _write(rows, delimiter, ending, quoting)
    if not final_ending:
        text = text.removesuffix(ending)
    found = _read(text.encode(encoding, "ignore"), encoding, delimiter)
    wanted = [[cell.encode(encoding, "ignore").decode(encoding) for cell in row] for row in rows]
    assert found.bad == []
    assert found.cells == wanted


def test_blocks_and_pieces_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[f"x{i}", 'quoted "cell"\r\nof two lines' if i % 3 else "é"] for i in range(1_000)]
    data = _write(rows, ",", "\r\n", csv.QUOTE_MINIMAL).encode()
    for size in (1, 2, 7, 64):
        monkeypatch.setattr("app.uploads.csv_list.BLOCK_BYTES", size)
        assert _read(data).cells == rows


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from(ENCODINGS), st.sampled_from(",;\t|"))
def test_any_bytes_give_rows(data: bytes, encoding: str, delimiter: str) -> None:
    data = codecs.BOM_UTF16_LE * (encoding == "utf-16") + data
    found = _read(data, encoding, delimiter, ReadLimits(max_row_lines=3, max_row_chars=50))
    for cell in [cell for row in found.cells for cell in row] + [row.excerpt for row in found.bad]:
        assert cell.encode().decode() == cell
        assert "\0" not in cell


def test_line_numbers_are_where_rows_start() -> None:
    data = b'a,b\n\n"one\ntwo\r\nthree",c\n\r\nd,e\r\n'
    found = _read(data)
    assert list(zip(found.line_nos, found.cells, strict=True)) == [
        (1, ["a", "b"]),
        (3, ["one\ntwo\r\nthree", "c"]),
        (7, ["d", "e"]),
    ]


def test_old_mac_line_ends() -> None:
    found = _read(b"a,b\rc,d\r")
    assert found.cells == [["a", "b"], ["c", "d"]]
    assert found.line_nos == [1, 2]


def test_an_undecodable_byte_costs_one_row() -> None:
    data = b'a,b\nc,\xff\nd,"x\xe9y"\n"\xff",\xff"\ne,f\n'
    found = _read(data)
    assert found.cells == [["a", "b"], ["e", "f"]]
    assert [row.line_no for row in found.bad] == [2, 3, 4]
    assert found.bad[0] == BadRow(2, "some characters can't be read", "c,\ufffd")


def test_an_undecodable_byte_does_not_hide_a_quotation_mark() -> None:
    found = _read(b'a,"x\xff"\nb,c\n')
    assert found.cells == [["b", "c"]]
    assert len(found.bad) == 1


def test_nul_bytes_are_taken_out() -> None:
    assert _read(b"a\0b,\0c\n").cells == [["ab", "c"]]


def test_an_unclosed_quotation_mark_costs_one_row() -> None:
    lines = [f'{i},"open' if i in (5, 6) else f"{i},x" for i in range(3_000)]
    found = _read("\n".join(lines).encode())
    assert [row.line_no for row in found.bad] == [6, 7]
    assert [row[0] for row in found.cells] == [str(i) for i in range(3_000) if i not in (5, 6)]
    assert found.line_nos[-1] == 3_000
    assert "not closed" in found.bad[0].reason


def test_an_unclosed_quotation_mark_in_the_last_line() -> None:
    found = _read(b'a,b\nc,"d\n')
    assert found.cells == [["a", "b"]]
    assert [row.line_no for row in found.bad] == [2]


def test_after_many_unclosed_ones_a_quotation_mark_is_text() -> None:
    data = "\n".join(['x","y'] * 50).encode()
    found = _read(data, limits=ReadLimits(max_row_lines=3, max_unclosed=10))
    assert len(found.bad) == 10
    assert found.cells == [['x"', '"y']] * 40


def test_a_row_that_is_too_long_is_reported_and_passed_by() -> None:
    long = b"y" * 300_000
    found = _read(b"a,b\n" + long + b",c\r\nd,e\n" + b'"' + long + b'",f\n"g\n' + long + b'"\nh,i')
    assert found.cells[0] == ["a", "b"]
    assert ["d", "e"] in found.cells
    assert found.cells[-1] == ["h", "i"]
    assert [row.line_no for row in found.bad] == [2, 4, 5, 6]
    assert found.bad[0].reason == "the row is too long"
    assert len(found.bad[0].excerpt) < 130


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(['"', ",", "\n", "x", '""', "\r\n"]), max_size=200))
def test_every_line_is_in_a_row_or_reported(parts: list[str]) -> None:
    text = "".join(parts)
    found = _read(text.encode(), limits=ReadLimits(max_row_lines=4))
    seen = sorted(found.line_nos + [row.line_no for row in found.bad])
    assert seen == sorted(set(seen))
    lines = io.StringIO(text, newline="").readlines()
    for line_no in seen:
        assert lines[line_no - 1].strip("\r\n")
