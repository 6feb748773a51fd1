"""Opening lists: format, encoding, columns, the address column, and every way to be refused."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import LanewayError, TooLarge, UnsupportedFile
from app.uploads.limits import ReadLimits
from app.uploads.opening import inspect, open_list
from app.uploads.rows import BadRow, LeadRow


def _read(data: bytes, **options: Any) -> tuple[list[LeadRow], list[BadRow]]:
    with open_list(io.BytesIO(data), **options) as rows:
        found = list(rows)
    leads = [row for row in found if isinstance(row, LeadRow)]
    return leads, [row for row in found if isinstance(row, BadRow)]


def _refused(data: bytes, **options: Any) -> str:
    """Return why a file is refused; looking at its beginning must say the same."""
    reasons = []
    for read in (_read, lambda data, **options: inspect(io.BytesIO(data), **options)):
        with pytest.raises(UnsupportedFile) as caught:
            read(data, **options)
        reasons.append(caught.value.extra["reason"])
    assert reasons[0] == reasons[1]
    return str(reasons[0])


def test_a_plain_list() -> None:
    data = b"Name,E-Mail,City\nAnn,Ann@Example.COM,Rome\nBen,n/a,Oslo\n,,\nCy,<cy@x.org>,\n"
    with open_list(io.BytesIO(data)) as rows:
        assert (rows.format, rows.encoding, rows.delimiter) == ("csv", "utf-8", ",")
        assert rows.columns == ["Name", "E-Mail", "City"]
        assert (rows.email_index, rows.has_header) == (1, True)
        assert list(rows) == [
            LeadRow(2, "Ann@Example.COM", "ann@example.com", ["Ann", "Ann@Example.COM", "Rome"]),
            BadRow(3, "'n/a' is not an e-mail address: it has no @", "Ben,n/a,Oslo"),
            LeadRow(5, "<cy@x.org>", "cy@x.org", ["Cy", "<cy@x.org>", ""]),
        ]


@pytest.mark.parametrize(
    ("delimiter", "name"), [(",", "csv"), (";", "semicolon"), ("\t", "tsv"), ("|", "pipe")]
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_delimiters_and_encodings(delimiter: str, name: str, encoding: str) -> None:
    rows = [["Prénom", "Société", "Courriel"]]
    rows += [["Hélène", f'Café, "Zoé"; {i} | Söhne', f"h{i}@x.fr"] for i in range(20)]
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows(rows)
    with open_list(io.BytesIO(file.getvalue().encode(encoding))) as leads:
        assert leads.format == name
        assert leads.columns == rows[0]
        assert [row.cells for row in leads if isinstance(row, LeadRow)] == rows[1:]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Имя;Почта\nИван Москва;i@x.ru\nМария Петрова;m@x.ru\n"),  # noqa: RUF001 - Russian is meant
        ("cp932", "名前,メール\n山田太郎 株式会社,y@x.jp\n鈴木花子 東京都,s@x.jp\n"),
        ("cp1250", "Imię;email\nŁukasz Łódź;l@x.pl\nMałgorzata Gdańsk;m@x.pl\n"),
        ("cp1252", "Name,email\nO’Neil – Café,o@x.com\n"),  # noqa: RUF001 - as Word writes it
    ],
)
def test_older_encodings(encoding: str, text: str) -> None:
    leads, bad = _read(text.encode(encoding))
    assert bad == []
    assert leads[0].cells[0] in text


def test_names_after_a_long_ascii_beginning_decide_the_encoding() -> None:
    data = b"name,email\n" + b"Ann,ann@example.com\n" * 30_000 + "Zoë,zoe@x.com\n".encode("cp1252")
    leads, bad = _read(data)
    assert bad == []
    assert leads[-1].cells[0] == "Zoë"


def test_bytes_like_a_bom_in_the_middle_are_none() -> None:
    data = b"email,x\n" + b"a@b.com,1\n" * 40_000
    data = data[: -(len(data) % 4096)] + b"\xff\xfe\n" + b"c@d.com,2\n"
    leads, _ = _read(data)
    assert leads[-1].email == "c@d.com"


@pytest.mark.parametrize(
    ("header", "index"),
    [
        ("Name,Email", 1),
        ("e-mail,Name", 0),
        ("Name, E_MAIL ", 1),
        ("Work Email,Name,email", 2),
        ("Mail,Work Email", 1),
        ("Nom,Adresse électronique", 1),
        ("Name;E-Mail-Adresse".replace(";", ","), 1),
        ("nombre,Correo electrónico", 1),
        ("email_status,Contact", 1),
    ],
)
def test_the_address_column_by_name(header: str, index: int) -> None:
    width = header.count(",") + 1
    row = ",".join("ann@example.com" if i == index else "ok" for i in range(width))
    with open_list(io.BytesIO(f"{header}\n{row}\n".encode())) as rows:
        assert rows.email_index == index
        assert rows.has_header


def test_a_named_column_without_addresses_gives_way() -> None:
    with open_list(io.BytesIO(b"email,work email\n,a@b.com\n,c@d.com\n")) as rows:
        assert rows.email_index == 1


def test_a_list_without_header() -> None:
    leads, bad = _read(b"Ann,ann@example.com,Rome\nBen,ben@example.com,Oslo\n")
    assert [row.line_no for row in leads] == [1, 2]
    assert bad == []
    found = inspect(io.BytesIO(b"Ann,ann@example.com,Rome\nBen,ben@example.com,Oslo\n"))
    assert found.columns == ["Column 1", "Column 2", "Column 3"]
    assert (found.has_header, found.email_index) == (False, 1)


@pytest.mark.parametrize("data", [b"a@b.com\nc@d.com\n", b"a@b.com", b"a@b.com\r\n\r\nc@d.com"])
def test_one_column_without_header(data: bytes) -> None:
    leads, bad = _read(data)
    assert leads[0] == LeadRow(1, "a@b.com", "a@b.com", ["a@b.com"])
    assert bad == []


def test_a_header_below_a_title() -> None:
    with open_list(io.BytesIO(b"Export of 2024\n\nName,Email\nAnn,a@b.com\nBen,b@c.com\n")) as rows:
        assert rows.columns == ["Name", "Email"]
        assert [row.line_no for row in rows] == [4, 5]


def test_a_hint_of_excel() -> None:
    found = inspect(io.BytesIO(b"sep=;\r\nName;Email\r\nAnn, B.;a@b.com\r\n"))
    assert (found.delimiter, found.columns) == (";", ["Name", "Email"])
    assert found.sample_rows == [["Ann, B.", "a@b.com"]]


def test_columns_have_different_names() -> None:
    found = inspect(io.BytesIO(b"email,City,,City, City \na@b.com,1,2,3,4\n"))
    assert found.columns == ["email", "City", "Column 3", "City (2)", "City (3)"]


def test_ragged_rows() -> None:
    data = b"name,email,city\nAnn,a@b.com\nBen\nCy,c@d.com,Oslo,more\nDi,d@e.com,Rome,,\n"
    leads, bad = _read(data)
    assert [row.cells for row in leads] == [
        ["Ann", "a@b.com", ""],
        ["Cy", "c@d.com", "Oslo", "more"],
        ["Di", "d@e.com", "Rome"],
    ]
    assert bad == [BadRow(3, "no e-mail address in this row", "Ben,,")]


@pytest.mark.parametrize("wanted", ["Alt", "alt", " ALT ", "3"])
def test_the_user_chooses_the_column(wanted: str) -> None:
    data = b"name,email,Alt\nAnn,a@b.com,x@y.com\n"
    leads, _ = _read(data, email_column=wanted)
    assert [row.email for row in leads] == ["x@y.com"]


def test_the_user_chooses_a_column_of_a_list_without_header() -> None:
    leads, _ = _read(b"a@b.com,x@y.com\nc@d.com,z@y.com\n", email_column="2")
    assert [row.email for row in leads] == ["x@y.com", "z@y.com"]


@pytest.mark.parametrize("wanted", ["Phone", "4", "0", "-1", "9" * 30, "²"])
def test_an_unknown_column_is_refused_with_the_names(wanted: str) -> None:
    with pytest.raises(UnsupportedFile, match="The columns are: name, email, Alt") as caught:
        _read(b"name,email,Alt\nAnn,a@b.com,x@y.com\n", email_column=wanted)
    assert caught.value.extra["reason"] == "unknown_email_column"
    assert caught.value.extra["columns"] == ["name", "email", "Alt"]


PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\n\n \r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"name,email\n", "no_rows"),
        (b"name,email\n,\n ,\n", "no_rows"),
        (b"name,city\nAnn,Rome\nBen,Oslo\n", "no_email_column"),
        (b"just some text\nand more of it\n", "no_email_column"),
        (PNG, "not_a_table"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "not_a_table"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 100, "not_a_table"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "not_a_table"),
        (b"<!DOCTYPE html>\n<html><body>a@b.com</body></html>", "not_a_table"),
        (bytes(range(1, 256)) * 20, "not_a_table"),
        (b"a," * 1_500 + b"email\n" + b"b," * 1_500 + b"a@b.com\n", "too_many_columns"),
    ],
)
def test_what_is_no_list_is_refused(data: bytes, reason: str) -> None:
    assert _refused(data) == reason


def test_a_png_says_what_to_do() -> None:
    with pytest.raises(UnsupportedFile, match=r"PNG picture.*Save the list as \.xlsx or \.csv"):
        inspect(io.BytesIO(PNG))


def test_too_many_rows() -> None:
    data = b"email\n" + b"a@b.com\nnot one\n" * 300
    limits = ReadLimits(max_rows=599)
    with pytest.raises(TooLarge, match="more than 599 rows"):
        _read(data, limits=limits)
    leads, bad = _read(data, limits=ReadLimits(max_rows=600))
    assert (len(leads), len(bad)) == (300, 300)


def test_looking_at_a_long_list_reads_its_beginning_only() -> None:
    class Counting(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1, /) -> bytes:
            piece = super().read(size)
            self.taken += len(piece)
            return piece

    stream = Counting(b"name,email\n" + b"Ann,ann@example.com\n" * 100_000)
    found = inspect(stream)
    assert len(found.sample_rows) == 20
    assert stream.taken <= 256 * 1024


def test_the_cut_off_last_row_of_a_beginning_does_not_show() -> None:
    wide = b"x" * 50_000
    data = b"email,notes\n" + b"".join(b"a%d@b.com,%s\n" % (i, wide) for i in range(10))
    found = inspect(io.BytesIO(data))
    assert {len(row[1]) for row in found.sample_rows} == {50_000}


def test_a_list_closes_its_file_also_when_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"email\na@b.com\n")
    with open_list(path) as rows:
        assert len(list(rows)) == 1
    stream = io.BytesIO(b"")
    with pytest.raises(UnsupportedFile):
        open_list(stream)
    assert stream.closed


def _try(read: Callable[[], object]) -> None:
    try:
        read()
    except LanewayError as error:
        assert error.message[0].isupper() and error.message.endswith(".")  # noqa: PT017, PT018


@settings(deadline=None)
@given(
    st.binary(max_size=2_000)
    | st.text(max_size=500).map(str.encode)
    | st.lists(
        st.sampled_from([b"a@b.com", b",", b"\n", b'"', b"\xff", b"\0", b";", b"email", b"\r\n"])
    ).map(b"".join)
    | st.sampled_from([b"PK\x03\x04", b"\xff\xfe", b"\xef\xbb\xbf", b"sep=;"]).flatmap(
        lambda start: st.binary(max_size=300).map(lambda rest: start + rest)
    ),
    st.none() | st.text(max_size=5),
)
def test_any_file_is_read_or_refused(data: bytes, email_column: str | None) -> None:
    _try(lambda: _read(data, email_column=email_column))
    _try(lambda: inspect(io.BytesIO(data), email_column=email_column))


@settings(deadline=None)
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=1, max_size=30
    ),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_a_real_list_comes_back_exactly(names: list[str], delimiter: str, encoding: str) -> None:
    rows = [[name, f"u{i}@example.com", "x"] for i, name in enumerate(names)]
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(
        [["name", "email", "more"], *rows]
    )
    leads, bad = _read(file.getvalue().encode(encoding))
    assert bad == []
    assert [row.cells for row in leads] == rows
