"""Excel workbooks: the text a person saw comes back; bombs, entities and damage are refused."""

import io
import struct
import zipfile
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import LanewayError, TooLarge, UnsupportedFile
from app.uploads.limits import ReadLimits
from app.uploads.opening import inspect, open_list
from app.uploads.rows import BadRow, LeadRow
from app.uploads.xlsx_cells import Kind, column_index, format_kind

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


def make_workbook(
    *sheets: str, strings: str | None = None, styles: str = "", book: str = "", prolog: str = HEAD
) -> bytes:
    """Return a workbook whose sheets hold the given `<row>` elements."""
    names = [f"worksheets/sheet{i}.xml" for i in range(1, len(sheets) + 1)]
    relations = [("worksheet", name) for name in names] + [("sharedStrings", "sharedStrings.xml")]
    parts = {
        "[Content_Types].xml": f"{HEAD}<Types/>",
        "xl/workbook.xml": f'{HEAD}<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}">{book}<sheets>'
        + "".join(f'<sheet name="S{i}" r:id="r{i}"/>' for i in range(len(names)))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'{HEAD}<Relationships xmlns="{PACKAGE}">'
        + "".join(
            f'<Relationship Id="r{i}" Type="{OFFICE}/{kind}" Target="{name}"/>'
            for i, (kind, name) in enumerate(relations)
        )
        + "</Relationships>",
        "xl/styles.xml": f'{HEAD}<styleSheet xmlns="{MAIN}">{styles}</styleSheet>',
    }
    for name, rows in zip(names, sheets, strict=True):
        sheet = f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>'
        parts[f"xl/{name}"] = prolog + sheet
    if strings is not None:
        parts["xl/sharedStrings.xml"] = f'{HEAD}<sst xmlns="{MAIN}">{strings}</sst>'
    return make_zip(parts)


def make_zip(parts: dict[str, str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def inline(row_no: int, *cells: str) -> str:
    return (
        f'<row r="{row_no}">'
        + "".join(
            f'<c r="{chr(65 + i)}{row_no}" t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'
            for i, cell in enumerate(cells)
        )
        + "</row>"
    )


def read(data: bytes, limits: ReadLimits | None = None) -> list[LeadRow | BadRow]:
    with open_list(io.BytesIO(data), limits=limits) as rows:
        return list(rows)


def refused(data: bytes, limits: ReadLimits | None = None) -> str:
    with pytest.raises(UnsupportedFile) as caught:
        read(data, limits)
    return str(caught.value.extra["reason"])


def cells_of(row: str, **more: str) -> list[str]:
    (found,) = read(make_workbook(inline(1, "email") + row, **more))
    assert isinstance(found, LeadRow)
    return found.cells


def test_shared_strings_rich_text_and_gaps() -> None:
    strings = (
        "<si><t>email</t></si><si><r><t>An</t></r><r><t>n &amp; Co</t></r><rPh><t>x</t></rPh></si>"
        "<si><t>a@b.com</t></si><si><t>City</t></si>"
    )
    rows = (
        '<row r="2"><c r="B2" t="s"><v>0</v></c><c r="D2" t="s"><v>3</v></c></row>'
        '<row r="3"/><row r="7"><c r="A7" t="s"><v>1</v></c><c r="B7" t="s"><v>2</v></c></row>'
    )
    with open_list(io.BytesIO(make_workbook(rows, strings=strings))) as leads:
        assert (leads.format, leads.encoding, leads.delimiter) == ("xlsx", None, None)
        assert leads.columns == ["Column 1", "email", "Column 3", "City"]
        assert list(leads) == [
            LeadRow(7, "a@b.com", "a@b.com", ["An" + "n & Co", "a@b.com", "", ""])
        ]


STYLES = (
    '<numFmts><numFmt numFmtId="170" formatCode="dd\\.mm\\.yyyy;@"/>'
    '<numFmt numFmtId="171" formatCode="[h]:mm"/><numFmt numFmtId="172" formatCode="0 &quot;days&quot;"/>'
    '</numFmts><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/>'
    '<xf numFmtId="14"/><xf numFmtId="22"/><xf numFmtId="170"/><xf numFmtId="171"/>'
    '<xf numFmtId="172"/><xf numFmtId="20"/></cellXfs>'
)


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ('<c r="B2"><v>42</v></c>', "42"),
        ('<c r="B2"><v>4.915112345678E+12</v></c>', "4915112345678"),
        ('<c r="B2"><v>0.10000000000000001</v></c>', "0.1"),
        ('<c r="B2"><v>-3.0</v></c>', "-3"),
        ('<c r="B2"><v>1E+300</v></c>', "1e+300"),
        ('<c r="B2"><v>nan</v></c>', "nan"),
        ('<c r="B2" s="1"><v>45413</v></c>', "2024-05-01"),
        ('<c r="B2" s="2"><v>45413.5625</v></c>', "2024-05-01 13:30:00"),
        ('<c r="B2" s="3"><v>1</v></c>', "1900-01-01"),
        ('<c r="B2" s="4"><v>1.5</v></c>', "36:00:00"),
        ('<c r="B2" s="5"><v>3</v></c>', "3"),
        ('<c r="B2" s="6"><v>0.5</v></c>', "12:00:00"),
        ('<c r="B2" s="1"><v>99999999999</v></c>', "99999999999"),
        ('<c r="B2" s="77"><v>45413</v></c>', "45413"),
        ('<c r="B2" t="b"><v>1</v></c>', "TRUE"),
        ('<c r="B2" t="e"><v>#N/A</v></c>', "#N/A"),
        ('<c r="B2" t="d"><v>2024-05-01</v></c>', "2024-05-01"),
        ('<c r="B2" t="str"><f>A1&amp;"x"</f><v>ax</v></c>', "ax"),
        ('<c r="B2" t="inlineStr"><is><t>a_x000D_b_x0000_</t></is></c>', "a\rb"),
    ],
)
def test_values_read_as_they_were_seen(cell: str, shown: str) -> None:
    row = f'<row r="2"><c r="A2" t="str"><v>a@b.com</v></c>{cell}</row>'
    assert cells_of(row, styles=STYLES)[1:] == [shown]


def test_the_calendar_of_old_macs() -> None:
    row = '<row r="2"><c r="A2" t="str"><v>a@b.com</v></c><c r="B2" s="1"><v>0</v></c></row>'
    assert cells_of(row, styles=STYLES, book='<workbookPr date1904="1"/>')[1] == "1904-01-01"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("General", "number"),
        ("#,##0.00", "number"),
        ("0%", "number"),
        ('"Ends" 0', "number"),
        ("[Red]0.00", "number"),
        ("[$-409]d-mmm-yy", "date"),
        ("yyyy\\-mm\\-dd hh:mm", "date"),
        ("[mm]:ss", "duration"),
    ],
)
def test_formats(code: str, kind: Kind) -> None:
    assert format_kind(code) == kind


@pytest.mark.parametrize(
    ("reference", "index"), [("A1", 0), ("Z9", 25), ("AB12", 27), ("XFD1", 16383), ("1", -1)]
)
def test_column_letters(reference: str, index: int) -> None:
    assert column_index(reference) == index


def test_cells_and_rows_without_references() -> None:
    header = "<row><c t='str'><v>email</v></c><c t='str'><v>x</v></c></row>"
    rows = header + "<row><c t='str'><v>a@b.com</v></c><c/><c><v>5</v></c></row>"
    (lead,) = read(make_workbook(rows))
    assert lead == LeadRow(2, "a@b.com", "a@b.com", ["a@b.com", "", "5"])


def test_the_first_visible_sheet_with_rows_is_read() -> None:
    data = make_workbook("", inline(1, "email") + inline(2, "a@b.com"), inline(1, "c@d.com"))
    assert [row.line_no for row in read(data)] == [2]


def test_elements_with_a_prefix() -> None:
    rows = inline(1, "email") + inline(2, "a@b.com")
    data = make_workbook("")
    parts = {name: text.decode() for name, text in _parts(data).items()}
    prefixed = (
        rows.replace("</", "</x:").replace("<x:", "<").replace("<", "<x:").replace("<x:/x:", "</x:")
    )
    parts["xl/worksheets/sheet1.xml"] = (
        f'<x:worksheet xmlns:x="{MAIN}"><x:sheetData>{prefixed}</x:sheetData></x:worksheet>'
    )
    assert [row.line_no for row in read(make_zip(parts))] == [2]


def _parts(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_looking_at_a_workbook_unpacks_only_what_it_needs() -> None:
    strings = "".join(f"<si><t>u{i}@example.com</t></si>" for i in range(50_000))
    rows = "".join(
        f'<row r="{i}"><c r="A{i}" t="s"><v>{i - 1}</v></c></row>' for i in range(1, 20_000)
    )
    data = make_workbook(rows, strings=strings)
    found = inspect(io.BytesIO(data))
    assert found.sample_rows[0] == ["u0@example.com"]
    leads = read(data)
    assert len(leads) == 19_999
    last = "u19998@example.com"
    assert leads[-1] == LeadRow(19_999, last, last, [last])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="_\ufffe\uffff")),
        min_size=1,
    )
)
def test_any_text_comes_back(names: list[str]) -> None:
    rows = "".join(inline(i, f"u{i}@x.com", name) for i, name in enumerate(names, 2))
    leads = read(make_workbook(inline(1, "email", "name") + rows))
    assert [row.cells[1] for row in leads if isinstance(row, LeadRow)] == names


def test_rows_past_the_limits() -> None:
    limits = ReadLimits(max_columns=3, max_row_chars=100, max_rows=3)
    rows = inline(1, "email") + inline(2, "a@b.com", "", "", "x") + inline(3, "b@c.com", "y" * 101)
    found = read(make_workbook(rows + inline(4, "c@d.com")), limits)
    assert [type(row) for row in found] == [BadRow, BadRow, LeadRow]
    with pytest.raises(TooLarge):
        read(make_workbook(rows + inline(4, "c@d.com") + inline(5, "d@e.com")), limits)


def test_a_cell_in_the_last_corner_costs_nothing() -> None:
    rows = (
        inline(1, "email")
        + inline(2, "a@b.com")
        + '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    )
    found = read(make_workbook(rows))
    assert [row.line_no for row in found] == [2, 1_048_576]


def test_other_archives_are_named() -> None:
    for parts, words in [
        ({"a.txt": "x"}, "ZIP archive"),
        ({"word/document.xml": "x"}, "Word document"),
        ({"content.xml": "x"}, r"OpenDocument file \(.ods\)"),
    ]:
        with pytest.raises(UnsupportedFile, match=words):
            read(make_zip(parts))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    data = make_workbook(" " * (40 * 1024 * 1024) + inline(1, "a@b.com"))
    assert len(data) < 100_000
    assert refused(data) == "decompression_bomb"
    small = make_workbook(inline(1, "a@b.com") * 50)
    assert refused(small, ReadLimits(max_inflated_bytes=1_000)) == "decompression_bomb"


def test_entities_are_refused() -> None:
    prolog = HEAD + '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    assert refused(make_workbook(inline(1, "a@b.com"), prolog=prolog)) == "decompression_bomb"


def test_a_part_that_lies_about_its_size_is_not_unpacked_further() -> None:
    data = bytearray(make_workbook(inline(1, "email") + inline(2, "a@b.com") * 5_000))
    entry = data.rfind(b"PK\x01\x02", 0, data.rfind(b"xl/worksheets/sheet1.xml"))
    struct.pack_into("<I", data, entry + 24, 1_000)
    assert refused(bytes(data)) == "damaged"


def test_a_huge_table_of_contents_is_refused() -> None:
    data = bytearray(make_workbook(inline(1, "a@b.com")))
    struct.pack_into("<I", data, data.rfind(b"PK\x05\x06") + 12, 2**31)
    assert refused(bytes(data)) == "decompression_bomb"


def test_too_many_different_texts() -> None:
    strings = "".join(f"<si><t>u{i}@x.com</t></si>" for i in range(20_000))
    data = make_workbook('<row r="1"><c r="A1" t="s"><v>19999</v></c></row>', strings=strings)
    with pytest.raises(TooLarge):
        read(data, ReadLimits(max_shared_strings=5_000))


@pytest.mark.parametrize(
    "row",
    [
        '<row r="1"><c r="A1" t="s"><v>7</v></c></row>',
        '<row r="1"><c r="A1" t="s"><v>-1</v></c></row>',
        '<row r="1"><c r="A1" t="s"><v>x</v></c></row>',
        '<row r="x"/>',
        '<row r="99999999"/>',
        '<row r="1"><c r="11"><v>1</v></c></row>',
        "<row>",
        "&nbsp;",
    ],
)
def test_damage_is_refused(row: str) -> None:
    assert refused(make_workbook(row)) == "damaged"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_damage_is_refused_or_read(data: st.DataObject) -> None:
    strings = "<si><t>email</t></si><si><t>a@b.com</t></si>"
    rows = inline(1, "x", "y") + '<row r="2"><c r="A2" t="s"><v>1</v></c></row>'
    whole = bytearray(make_workbook(rows, strings=strings, styles=STYLES))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    del whole[data.draw(st.integers(len(whole) // 2, len(whole))) :]
    for look in (read, lambda content: inspect(io.BytesIO(content))):
        try:
            look(bytes(whole))
        except LanewayError as error:
            assert error.message.endswith(".")  # noqa: PT017 - both outcomes are fine
