"""Which columns of a list say who a lead is: by the user's word, else by their names.

The fields are those that a lead may say of itself. Nothing is told by content: a name looks like a company.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.errors import UnsupportedFile
from app.uploads.header import EMAIL_NAMES, bare

#: Field of a lead -> names of its column, compared as `bare` leaves them; the best first.
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "email": EMAIL_NAMES,
    "first_name": (
        *("first name", "firstname", "given name", "forename", "first", "contact first name"),
        *("given", "given names", "first names", "christian name", "person first name"),
        *("Vorname", "prénom", "nombre", "nome", "voornaam", "förnamn", "fornavn", "etunimi"),
    ),
    "last_name": (
        *("last name", "lastname", "surname", "family name", "second name", "contact last name"),
        *("Nachname", "Familienname", "nom", "nom de famille", "apellido", "apellidos", "cognome"),
        *("achternaam", "efternamn", "etternavn", "sukunimi", "last"),
        *("family", "family names", "last names", "person last name"),
    ),
    "full_name": (
        *("full name", "name", "contact name", "contact", "person name", "person", "lead name"),
        *("lead", "Ansprechpartner", "nom complet", "nombre completo", "nome completo", "naam"),
    ),
    "company": (
        *("company", "company name", "organization", "organisation", "organization name"),
        *("account", "account name", "employer", "business", "business name", "current company"),
        *("organisation name", "employer name", "firm", "firm name", "current employer", "org"),
        *("Firma", "Firmenname", "Unternehmen", "entreprise", "société", "empresa", "azienda"),
        *("bedrijf", "företag", "yritys"),
    ),
    "domain": (
        *("domain", "company domain", "email domain", "website", "company website", "web site"),
        *("website url", "company url", "web", "homepage", "url", "Webseite", "site web"),
        *("web address", "website address", "home page", "company site"),
        *("site internet", "sitio web", "sito web"),
    ),
    "linkedin_url": (
        *("linkedin url", "linkedin", "linkedin profile", "linkedin profile url"),
        *("person linkedin url", "linkedin link", "profile url", "contact linkedin url"),
        *("linkedin address", "linkedin page", "linkedin member url", "li profile"),
    ),
}
FIELDS: Final = tuple(_NAMES)
_RANKS: Final = {
    field: {bare(name): rank for rank, name in reversed(list(enumerate(names)))}
    for field, names in _NAMES.items()
}
_PERSON: Final = ("first_name", "last_name", "full_name")
_PLACE: Final = ("company", "domain")


@dataclass(frozen=True)
class LeadsWanted:
    """How a list of leads is to be read. `named`: field -> column's name, or its number from 1; None: by their names.

    `email_column` is named so too, apart, and counts where `named` says nothing of the e-mail.
    `companies_suffice`: whether a row that names a company and nobody is a lead. `is_draft`: nothing is refused for want of
    columns, because somebody is still choosing them.
    """

    named: Mapping[str, str | int] | None = None
    email_column: str | None = None
    companies_suffice: bool = False
    is_draft: bool = False

    @property
    def said(self) -> dict[str, str | int]:
        """What was named, field by field."""
        email: dict[str, str | int] = {"email": self.email_column} if self.email_column else {}
        return {**email, **(self.named or {})}


def suggest(columns: Sequence[str]) -> dict[str, int]:
    """Return field -> index of the column that is named so; each column stands for one field at most."""
    found: dict[str, int] = {}
    names = [bare(name) for name in columns]
    for field, ranks in _RANKS.items():
        ranked = [(ranks[name], index) for index, name in enumerate(names) if name in ranks]
        if ranked:
            found[field] = min(ranked)[1]
    return found


def find_columns(named: Mapping[str, str | int], columns: Sequence[str]) -> dict[str, int]:
    """Return field -> index of the columns that somebody named. Raises `UnsupportedFile` ("unknown_column")."""
    return {field: _find(wanted, columns) for field, wanted in named.items()}


def _find(wanted: str | int, columns: Sequence[str]) -> int:
    text = str(wanted).strip()
    # A number is one; a text may be a name that looks like one.
    for spelling in () if isinstance(wanted, int) else (str.strip, bare):
        target = spelling(text)
        for index, name in enumerate(columns):
            if target and spelling(name) == target:
                return index
    if text.isdecimal() and len(text) < 6 and 1 <= int(text) <= len(columns):
        return int(text) - 1
    raise UnsupportedFile(
        f"There is no column '{text[:100]}'. The columns are: {', '.join(columns)[:1000]}.",
        reason="unknown_column",
        columns=list(columns),
    )


def check_identity(found: Mapping[str, int], columns: Sequence[str], wanted: LeadsWanted) -> None:
    """Raise `UnsupportedFile` ("no_lead_columns") where no row could say who its lead is."""
    has_place = any(field in found for field in _PLACE)
    has_person = any(field in found for field in _PERSON)
    if "email" in found or "linkedin_url" in found or (has_person and has_place):
        return
    if wanted.companies_suffice and has_place:
        return
    raise UnsupportedFile(
        "No column says who the leads are. Say which hold the names and the company or its domain, or the e-mail, or the "
        "LinkedIn address.",
        reason="no_lead_columns",
        columns=list(columns),
    )


class Identity:
    """Tells of a row whether something in it identifies a lead."""

    def __init__(self, found: Mapping[str, int], wanted: LeadsWanted) -> None:
        self._linkedin = found.get("linkedin_url")
        self._person = [found[field] for field in _PERSON if field in found]
        self._place = [found[field] for field in _PLACE if field in found]
        self._companies_suffice = wanted.companies_suffice

    def is_in(self, cells: Sequence[str]) -> bool:
        """Tell whether a LinkedIn address, or a name with a company, stands in the cells."""
        if self._linkedin is not None and cells[self._linkedin].strip():
            return True
        if not any(cells[index].strip() for index in self._place):
            return False
        return self._companies_suffice or any(cells[index].strip() for index in self._person)
