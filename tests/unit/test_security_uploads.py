"""Files made to cost much: what is looked at grows with the limits, not with what the file says.

No time is measured. Each of these files took minutes, or memory without end, with an expression or a loop that followed
the file; here they must come through within the test's patience.
"""

import io
from datetime import datetime

import pytest

from app.uploads.addresses import normalise
from app.uploads.header import find_header
from app.uploads.limits import ReadLimits
from app.uploads.opening import inspect
from app.uploads.xlsx_cells import format_kind
from app.uploads.xlsx_sheet import SheetReader
from app.uploads.xlsx_strings import SharedStrings

ROWS = b"ann@example.com,x\n" * 300


def test_a_title_of_tens_of_thousands_of_equal_names_is_cut() -> None:
    limits = ReadLimits(max_columns=1_000)
    found = inspect(io.BytesIO(b'"a"' + b",a" * 32_000 + b"\n" + ROWS), limits=limits)
    assert found.email_index == 0
    assert len(found.columns) == limits.max_columns


def test_copies_of_a_name_are_numbered_on() -> None:
    rows = [["a", "a (2)", "a", "a", "email", "a"], ["", "", "", "", "ann@example.com", ""]]
    found = find_header(rows, None, 10).columns
    assert found == ["a", "a (2)", "a (3)", "a (4)", "email", "a (5)"]


@pytest.mark.parametrize("code", ["[" * 2_000_000, '"' * 1_999_999, "[h" * 1_000_000])
def test_a_number_format_is_as_long_as_excels(code: str) -> None:
    assert format_kind(code + "dd") in ("number", "duration")


def test_an_address_in_a_thousand_wrappings_is_none() -> None:
    with pytest.raises(ValueError, match="too long to be an e-mail address"):
        normalise("(" * 490 + "ann@example.com" + ")" * 490)
    assert normalise("((\"'<ann@example.com>'\"))") == "ann@example.com"


def _read_sheet(rows: bytes) -> SheetReader:
    limits = ReadLimits()
    with SharedStrings(iter(()), limits) as shared:
        reader = SheetReader(shared, [], datetime(1899, 12, 30), limits)  # noqa: DTZ001 - a calendar day
        list(reader.read(iter([b"<worksheet><sheetData>", rows])))
    return reader


def test_blank_cells_beyond_the_last_column_are_not_kept() -> None:
    reader = _read_sheet(b"<row>" + b"<c/>" * 50_000 + b"</row></sheetData></worksheet>")
    assert len(reader._row) == ReadLimits().max_columns


def test_a_cell_beyond_the_last_possible_column_damages_the_workbook() -> None:
    with pytest.raises(ValueError, match="without a column"):
        _read_sheet(b'<row><c r="ABCD1"><v>1</v></c></row>')
