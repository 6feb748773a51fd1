"""The words of the pages: verdicts, providers, fields of a lead, and who a lead is."""

from collections.abc import Mapping, Sequence
from typing import Any

#: In the order in which they are shown; of an address, then of a lead.
VERDICTS = {
    "found": "Found",
    "valid": "Valid",
    "invalid": "Invalid",
    "catch_all": "Catch-all",
    "partial": "Partly found",
    "not_found": "Not found",
    "unknown": "Unknown",
}
_OF_ADDRESSES = ("valid", "invalid", "catch_all", "unknown")
_OF_LEADS = ("found", "partial", "not_found", "unknown")
#: Name of a provider -> how people write it.
PROVIDERS = {
    "mailtester": "MailTester",
    "hunter": "Hunter",
    "apollo": "Apollo",
    "clearbit": "Clearbit",
    "local": "checked here",
    "laneway": "\N{EN DASH}",
}
#: Field of a lead -> how it is called on the pages.
FIELDS = {
    "email": "E-mail",
    "phone": "Phone",
    "company_phone": "Company's phone",
    "first_name": "First name",
    "last_name": "Last name",
    "full_name": "Full name",
    "position": "Position",
    "location": "Location",
    "company": "Company",
    "domain": "Company's domain",
    "company_industry": "Industry",
    "company_size": "Company's size",
    "company_country": "Country",
    "company_linkedin_url": "Company on LinkedIn",
    "linkedin_url": "LinkedIn address",
    "twitter_url": "Twitter",
    "github_url": "GitHub",
    "facebook_url": "Facebook",
}


_ROWS_NAMED = 5


def _lines_in_words(lines: Sequence[int]) -> str:
    """Name some lines: line 1; lines 1, 2; lines 1, 2, 3, 4, 5 and 3 more."""
    named = ", ".join(str(line) for line in lines[:_ROWS_NAMED])
    more = f" and {len(lines) - _ROWS_NAMED} more" if len(lines) > _ROWS_NAMED else ""
    return f"line{'' if len(lines) == 1 else 's'} {named}{more}"


def call_in_words(state: str, lines: Sequence[int], *, is_answer: bool) -> str:
    """Say what a call from outside came to, about which lines; `static/dashboard/course.js` says the same of rows."""
    about = f" about {_lines_in_words(lines)}" if lines else ""
    if not is_answer:
        return "came again: kept once" if state == "duplicate" else "kept with the job"
    return {
        "matched": f"answered{about}",
        "late": f"came too late{about}: no result changed",
        "unknown": f"nothing waited for it{about}",
        "duplicate": f"came again{about}: nothing changed",
    }[state]


def unit_of(params: Mapping[str, Any]) -> tuple[str, str, str]:
    """Say what a job with these params is about: (many, one of them, what is done with each)."""
    if "wanted" in params:
        return "leads", "lead", "looked up"
    return ("jobs", "job", "handled") if "action" in params else ("addresses", "address", "checked")


def verdicts_of(params: Mapping[str, Any]) -> dict[str, str]:
    """Return the verdicts that rows of a job with these params may get, with their labels; none about acted-on jobs."""
    if "action" in params:
        return {}
    names = set(_OF_ADDRESSES) if "wanted" not in params else set(_OF_LEADS)
    if "wanted" in params and params.get("then") == "verify":
        names = set(VERDICTS) - {"found"}
    return {name: label for name, label in VERDICTS.items() if name in names}


def who(known: Mapping[str, str] | Sequence[str] | None, columns: Mapping[str, int]) -> str:
    """Say who a lead without an e-mail is, by what is known of it: Ann Smith, Acme."""
    if known is None:
        return ""
    said = (
        dict(known)
        if isinstance(known, Mapping)
        else {field: known[n] for field, n in columns.items() if n < len(known)}
    )
    name = f"{said.get('first_name', '')} {said.get('last_name', '')}".strip()
    parts = (name or said.get("full_name", ""), said.get("company") or said.get("domain", ""))
    return ", ".join(part for part in parts if part) or said.get("linkedin_url", "")
