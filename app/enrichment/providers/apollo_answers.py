"""Apollo's words, translated: people found now, and people told about later.

Source: the vendor's reference for POST /api/v1/people/match and /api/v1/people/bulk_match, where `matches[i]` answers
`details[i]` and null is a miss, and its guide to waterfall enrichment for the later call.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from app.enrichment.gathering import NO_SENSE, Gathering, read_cost, read_number, section
from app.enrichment.lookup import Answer, Kind, Lookup
from app.enrichment.provider import Outcome
from app.provider_calls import Reply, read_object
from app.provider_errors import ProviderError, Unavailable
from app.provider_refusals import refusal_of

NAME: Final = "apollo"

#: What stands in for an e-mail that the account has not paid for. Taken for an address it would be mailed to.
_LOCKED: Final = re.compile(r"email_not_unlocked@.*", re.IGNORECASE)
#: Apollo has no number for an address but the one that it has extrapolated. One that it checked is sure.
_SURE: Final = frozenset({"verified"})
#: The longest wait first: a key that is out for the day is not free in a minute.
_WINDOWS: Final = (("24-hour", 86_400), ("hourly", 3_600), ("minute", 60))
_PERSON: Final = (
    ("first_name", "first_name"),
    ("last_name", "last_name"),
    ("name", "full_name"),
    ("title", "position"),
    ("linkedin_url", "linkedin_url"),
    ("twitter_url", "twitter_url"),
    ("github_url", "github_url"),
    ("facebook_url", "facebook_url"),
)
_COMPANY: Final = (
    ("name", "company"),
    ("primary_domain", "domain"),
    ("industry", "company_industry"),
    ("estimated_num_employees", "company_size"),
    ("linkedin_url", "company_linkedin_url"),
    ("country", "company_country"),
)


def read_single(reply: Reply, lookup: Lookup, *, calls_back: bool) -> Outcome:
    """Return the outcome of people/match. Raises `ProviderError` for the whole call."""
    fields = _read(reply)
    if "person" not in fields:
        raise Unavailable("The answer is not the JSON that was expected.")
    (outcome,) = _outcomes([fields["person"]], [lookup], fields, calls_back=calls_back)
    return outcome


def read_bulk(reply: Reply, lookups: Sequence[Lookup], *, calls_back: bool) -> list[Outcome]:
    """Return the outcomes of people/bulk_match, in order. Raises `ProviderError` for the whole call.

    Another number of matches than of details is refused whole: nobody could say whose is whose.
    """
    fields = _read(reply)
    matches = fields.get("matches")
    if not isinstance(matches, list) or len(matches) != len(lookups):
        raise Unavailable("The answer has another number of rows than the question.")
    return _outcomes(matches, lookups, fields, calls_back=calls_back)


def read_callback(body: bytes, asked: Mapping[str, Lookup]) -> dict[str, Outcome]:
    """Read the later call: `people[]` with the id of the first answer, e-mails and telephone numbers."""
    fields = read_object(body)
    people = fields.get("people")
    if not isinstance(people, list):
        raise Unavailable("The call is not the JSON that was expected.")
    rows: dict[str, dict[str, object]] = {}
    for row in people:
        if isinstance(row, dict) and (name := _name(row.get("id"))) in asked:
            rows[name] = row
    outcomes: dict[str, Outcome] = {
        name: _late(name, row, asked[name]) for name, row in rows.items()
    }
    return dict(zip(outcomes, _share_cost(list(outcomes.values()), fields), strict=True))


def _read(reply: Reply) -> dict[str, object]:
    if reply.status != 200:
        raise refusal_of(reply, retry_after=_wait(reply) if reply.status == 429 else None)
    return read_object(reply.body)


def _wait(reply: Reply) -> int | None:
    """How long a 429 lasts: the longest window with nothing left, since no header says when it began."""
    for window, seconds in _WINDOWS:
        if reply.headers.get(f"x-{window}-requests-left", "").strip() == "0":
            return seconds
    return None


def _outcomes(
    rows: Sequence[object],
    lookups: Sequence[Lookup],
    fields: Mapping[str, object],
    *,
    calls_back: bool,
) -> list[Outcome]:
    comes_later = calls_back and _is_accepted(fields)
    outcomes = [
        _outcome(row, lookup, comes_later=comes_later)
        for row, lookup in zip(rows, lookups, strict=True)
    ]
    return _share_cost(outcomes, fields)


def _is_accepted(fields: Mapping[str, object]) -> bool:
    """Tell whether the later search was taken on; only a waterfall says so, a plain reveal says nothing."""
    waterfall = fields.get("waterfall")
    status = waterfall.get("status") if isinstance(waterfall, dict) else None
    return status in {None, "accepted"}


def _outcome(row: object, lookup: Lookup, *, comes_later: bool) -> Outcome:
    """One row: null is a miss, what makes no sense an error of this row alone."""
    if row is None:
        return Answer()
    try:
        if not isinstance(row, dict):
            raise Unavailable(NO_SENSE)
        found = _gather(row, lookup)
    except ProviderError as error:
        return error
    is_open = found.lacks("email") or found.lacks("phone")
    return found.answer(pending=_name(row.get("id")) or None if comes_later and is_open else None)


def _gather(row: Mapping[str, object], lookup: Lookup) -> Gathering:
    found = Gathering(NAME, lookup)
    if found.wants(Kind.EMAIL):
        _take_email(found, row)
    found.take_all(_PERSON, row)
    if found.wants(Kind.PHONE):
        _take_phone(found, row)
    if found.wants(Kind.COMPANY, Kind.PHONE):
        company = section(row, "organization")
        found.take_all(_COMPANY, company)
        found.take("company_phone", company.get("phone"))
    return found


def _take_email(found: Gathering, row: Mapping[str, object]) -> None:
    email, status = row.get("email"), row.get("email_status")
    if status == "unavailable" or (isinstance(email, str) and _LOCKED.fullmatch(email.strip())):
        return
    found.take("email", email, score=_score(status, row.get("extrapolated_email_confidence")))


def _score(status: object, confidence: object) -> float | None:
    """100 for an address that Apollo has checked, its own share of 1 for a guessed one, else nothing."""
    if isinstance(status, str) and status in _SURE:
        return 100
    return None if confidence is None else read_number(confidence) * 100


def _take_phone(found: Gathering, row: Mapping[str, object]) -> None:
    for number in _list(row, "phone_numbers"):
        if not isinstance(number, dict):
            raise Unavailable(NO_SENSE)
        if value := number.get("sanitized_number") or number.get("raw_number"):
            return found.take("phone", value)
    return None


def _late(name: str, row: Mapping[str, object], lookup: Lookup) -> Outcome:
    found = Gathering(NAME, lookup)
    try:
        if found.wants(Kind.EMAIL):
            _take_late_email(found, row)
        if found.wants(Kind.PHONE):
            _take_phone(found, row)
    except ProviderError as error:
        return error
    # E-mails and telephone numbers may come in calls of their own, in any order. An empty list is an answer.
    is_open = any(
        found.lacks(field) and row.get(section_name) is None
        for field, section_name in (("email", "emails"), ("phone", "phone_numbers"))
    )
    tells_something = row.get("emails") is not None or row.get("phone_numbers") is not None
    return found.answer(pending=name if is_open and tells_something else None)


def _take_late_email(found: Gathering, row: Mapping[str, object]) -> None:
    """The later call lists e-mails, as objects or plain; the first is the best."""
    for entry in _list(row, "emails"):
        _take_email(found, entry if isinstance(entry, dict) else {"email": entry})
        if not found.lacks("email"):
            return


def _list(row: Mapping[str, object], name: str) -> list[object]:
    value = row.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Unavailable(NO_SENSE)
    return value


def _name(value: object) -> str:
    """An id as text; "" for what is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and value.isprintable() and len(value) <= 100 else ""


def _share_cost(outcomes: Sequence[Outcome], fields: Mapping[str, object]) -> list[Outcome]:
    """Share what the whole call cost among the rows that found something; a miss costs nothing.

    Apollo charges for what it found, and tells the sum. Charged though nothing was found: all rows share it.
    """
    cost = read_cost(fields.get("credits_consumed"))
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    if cost is None or not answers:
        return list(outcomes)
    hits = sum(not answer.is_miss for answer in answers)
    share = cost / (hits or len(answers))
    return [
        Answer(outcome.findings, 0.0 if hits and outcome.is_miss else share, outcome.pending)
        if isinstance(outcome, Answer)
        else outcome
        for outcome in outcomes
    ]
