"""Lists of leads: which columns say who they are, and which rows are leads with and without an e-mail."""

import io
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.enrichment.leads import FIELDS as LEAD_FIELDS
from app.errors import UnsupportedFile
from app.uploads.copy_text import encode_copy
from app.uploads.lead_columns import FIELDS, LeadsWanted, find_columns, suggest
from app.uploads.opening import inspect, open_list
from app.uploads.rows import BadRow, LeadRow

LIST = """First Name,Last Name,Company,Website,Work E-mail,LinkedIn
Ann,Smith,Acme,acme.example,,
Ben,Jones,,,ben@shop.example,
,,,,,https://www.linkedin.com/in/cyd
Dan,,Dunes,,n/a,
Eve,Evans,,,,
,,Fir Ltd,fir.example,,
Gus,Good,,,not-an-address,
,,,,,
"""


def read(content: str, **wanted: object) -> list[LeadRow | BadRow]:
    with open_list(io.BytesIO(content.encode()), leads=LeadsWanted(**wanted)) as rows:  # type: ignore[arg-type]
        blocks = list(rows.blocks())
    found: list[LeadRow | BadRow] = [bad for block in blocks for bad in block.bad]
    for block in blocks:
        leads = zip(block.line_nos, block.emails, block.cells, strict=True)
        found += [LeadRow(line_no, "", email, cells) for line_no, email, cells in leads]
    return sorted(found, key=lambda row: row.line_no)


def columns_of(content: str, **wanted: object) -> Mapping[str, int]:
    found = inspect(io.BytesIO(content.encode()), leads=LeadsWanted(**wanted))  # type: ignore[arg-type]
    return found.lead_columns


def test_the_fields_are_those_that_a_lead_may_say_of_itself() -> None:
    assert set(FIELDS) == set(LEAD_FIELDS)


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("First Name", "first_name"),
        ("given-name", "first_name"),
        ("Vorname", "first_name"),
        ("Prénom", "first_name"),
        ("SURNAME", "last_name"),
        ("Nachname", "last_name"),
        ("Name", "full_name"),
        ("Company Name", "company"),
        ("Organisation", "company"),
        ("Société", "company"),
        ("Website", "domain"),
        ("company_domain", "domain"),
        ("LinkedIn URL", "linkedin_url"),
        ("Person Linkedin Url", "linkedin_url"),
        ("E-Mail-Adresse", "email"),
    ],
)
def test_a_column_is_known_by_its_name(header: str, field: str) -> None:
    assert suggest(["Notes", header]) == {field: 1}


def test_a_list_in_other_usual_words_is_mapped_whole() -> None:
    for columns in (
        ["Given", "Family", "Firm", "Web address", "LinkedIn page"],
        ["Given name", "Surname", "Organization", "Website", "LinkedIn URL"],
        ["Forename", "Family name", "Employer", "Home page", "LinkedIn Profile"],
    ):
        fields = ("first_name", "last_name", "company", "domain", "linkedin_url")
        assert suggest(columns) == {field: n for n, field in enumerate(fields)}


@pytest.mark.parametrize("header", ["Company LinkedIn Url", "Company phone", "Notes", "", "Name 2"])
def test_other_columns_are_nobodys(header: str) -> None:
    assert suggest([header]) == {}


def test_the_better_name_wins() -> None:
    assert suggest(["Account", "Company"])["company"] == 1
    assert suggest(["Website", "Company Domain"])["domain"] == 1


@given(st.lists(st.text(max_size=20), max_size=12))
def test_whatever_the_columns_are_called_something_sound_is_said(columns: list[str]) -> None:
    found = suggest(columns)
    assert set(found) <= set(FIELDS)
    assert all(0 <= index < len(columns) for index in found.values())


def test_columns_are_named_by_name_spelling_or_number() -> None:
    columns = ["Who", "Where they work", "2"]
    named: dict[str, str | int] = {"full_name": "WHO", "company": 2, "domain": "2"}
    assert find_columns(named, columns) == {"full_name": 0, "company": 1, "domain": 2}
    assert find_columns({"company": "02"}, columns) == {"company": 1}


@pytest.mark.parametrize("wanted", ["Nowhere", "0", 9, "", "99999999"])
def test_a_column_that_is_not_there_is_refused_with_those_that_are(wanted: str | int) -> None:
    with pytest.raises(UnsupportedFile) as caught:
        find_columns({"company": wanted}, ["Who", "Where"])
    assert caught.value.extra == {"reason": "unknown_column", "columns": ["Who", "Where"]}
    assert "Who, Where" in caught.value.message


def test_a_row_is_a_lead_where_something_identifies_it() -> None:
    rows = read(LIST)
    assert [(row.line_no, row.email) for row in rows if isinstance(row, LeadRow)] == [
        (2, ""),
        (3, "ben@shop.example"),
        (4, ""),
        (5, ""),
    ]
    bad = {row.line_no: row.reason for row in rows if isinstance(row, BadRow)}
    assert set(bad) == {6, 7, 8}
    assert bad[6].startswith("nothing says who this lead is")
    assert "not-an-address" in bad[8]


def test_a_company_alone_is_a_lead_where_companies_are_wanted() -> None:
    rows = read(LIST, companies_suffice=True)
    assert 7 in [row.line_no for row in rows if isinstance(row, LeadRow)]


def test_every_row_becomes_a_line_for_the_database_also_without_an_address() -> None:
    with open_list(io.BytesIO(LIST.encode()), leads=LeadsWanted()) as rows:
        lines = b"".join(encode_copy(rows.blocks())).decode().splitlines()
    assert lines[0] == '1\t2\t\t["Ann","Smith","Acme","acme.example","",""]'


def test_named_columns_are_taken_and_no_others() -> None:
    content = "Person,Place,Name\nAnn Smith,Acme,x\n"
    assert columns_of(content, named={"full_name": "person", "company": 2}) == {
        "full_name": 0,
        "company": 1,
    }


def test_a_list_without_a_header_goes_by_numbers() -> None:
    content = "Ann,Smith,Acme Inc.,1\nBen,Jones,Bolt,2\n"
    named = {"first_name": 1, "last_name": "2", "company": 3}
    assert [row.line_no for row in read(content, named=named)] == [1, 2]
    with pytest.raises(UnsupportedFile) as caught:
        read(content)
    assert caught.value.extra["reason"] == "no_lead_columns"


def test_unusual_headings_are_told_by_what_stands_below() -> None:
    content = "Wer,Bei,Netz\nAnn Smith,Acme,acme.example\nBen Jones,Bolt,\n"
    found = inspect(io.BytesIO(content.encode()), leads=LeadsWanted(is_draft=True))
    assert (found.columns, found.has_header) == (["Wer", "Bei", "Netz"], True)
    assert len(read(content, named={"full_name": 1, "domain": "3"})) == 2


def test_a_name_that_no_row_has_is_answered_with_the_first_row() -> None:
    with pytest.raises(UnsupportedFile, match="The columns are: Wer, Wo"):
        read("Wer,Wo\nAnn,Acme\n", named={"company": "Firma"})


def test_a_header_may_stand_below_a_title() -> None:
    content = "Leads of the fair,,\n,,\nFirst name,Last name,Company\nAnn,Smith,Acme\n"
    (row,) = read(content)
    assert isinstance(row, LeadRow)
    assert row.cells == ["Ann", "Smith", "Acme"]


def test_addresses_are_found_by_content_where_no_column_is_called_so() -> None:
    content = "Name,Company,Reach\nAnn Smith,Acme,ann@acme.example\nBen Jones,Bolt,\n"
    assert columns_of(content)["email"] == 2
    assert [row.email for row in read(content) if isinstance(row, LeadRow)] == [
        "ann@acme.example",
        "",
    ]


def test_the_address_column_may_be_named_as_ever() -> None:
    content = "Name,Company,email,other\nAnn Smith,Acme,,ann@acme.example\n"
    assert columns_of(content, email_column="other")["email"] == 3


@pytest.mark.parametrize(
    "content", ["Notes,City\na,b\n", "First name,Last name\nAnn,Smith\n", "Company\nAcme\n"]
)
def test_a_list_that_says_nothing_of_its_leads_is_refused(content: str) -> None:
    with pytest.raises(UnsupportedFile) as caught:
        read(content)
    assert caught.value.extra["reason"] == "no_lead_columns"
    assert caught.value.extra["columns"]


def test_while_somebody_chooses_nothing_is_refused() -> None:
    found = inspect(io.BytesIO(b"Notes,City\na,b\n"), leads=LeadsWanted(is_draft=True))
    assert (found.lead_columns, found.email_index) == ({}, -1)
    assert found.sample_rows


def test_a_list_of_addresses_tells_what_else_it_seems_to_hold() -> None:
    found = inspect(io.BytesIO(b"Name,Company,email\nAnn,Acme,a@b.example\n"))
    assert found.lead_columns == {"full_name": 0, "company": 1, "email": 2}


@given(st.text(alphabet='ab,\n"@. ', max_size=200))
def test_any_text_is_read_or_refused(content: str) -> None:
    try:
        rows = read(content)
    except UnsupportedFile:
        return
    assert all(row.line_no >= 1 for row in rows)
