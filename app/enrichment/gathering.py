"""Reading one row of a vendor's answer without believing it.

Only what was wanted is looked at. A wanted field is text of the right form, or absent (missing, null or empty), or
the row makes no sense and is `Unavailable`: a vendor whose answers we can't read has not said "nothing found".
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from app.enrichment.lookup import FIELDS, Answer, Finding, Kind, Lookup
from app.enrichment.normal_forms import normal_domain, normal_email, normal_text, normal_url
from app.errors import InvalidInput
from app.provider_errors import Unavailable

_PHONE: Final = re.compile(r"\+?[0-9][0-9 ().\-/x,;extEXT]{2,39}")
#: Fields of a vendor's answer: its name and ours.
Names = tuple[tuple[str, str], ...]
_NUMBERS: Final = (int, float)
_LEAST_COST: Final = 1e-6
_MOST_COST: Final = 1e9
NO_SENSE: Final = "The answer has a field that makes no sense."


class Gathering:
    """The findings of one lookup, as they are taken out of one vendor's row."""

    def __init__(self, provider: str, lookup: Lookup) -> None:
        self._provider = provider
        self._lookup = lookup
        self._found_at = datetime.now(UTC)
        self._findings: dict[str, Finding] = {}

    def wants(self, *kinds: Kind) -> bool:
        """Tell whether any of the kinds is wanted."""
        return not self._lookup.wanted.isdisjoint(kinds)

    def lacks(self, name: str) -> bool:
        """Tell whether field `name` is wanted and still neither known nor found."""
        return (
            self.wants(FIELDS[name])
            and name not in self._findings
            and not getattr(self._lookup.person, name, "")
        )

    def take(self, name: str, value: object, *, score: object = None) -> None:
        """Take field `name` if it is wanted, there, and not known. Raises `Unavailable` for nonsense.

        `score` is a number from 0 to 100, or None.
        """
        if FIELDS[name] not in self._lookup.wanted:
            return
        text = read_value(name, value)
        if text and not self._lookup.person.knows(name, text):
            rating = read_score(score)
            self._findings[name] = Finding(name, text, self._provider, rating, self._found_at)

    def take_all(self, names: Names, row: Mapping[str, object]) -> None:
        """Take those of a vendor's fields that are wanted; `names` are pairs of its name and ours. Raises as `take`."""
        for theirs, ours in _wanted_of(names, self._lookup.wanted):
            self.take(ours, row.get(theirs))

    def answer(self, *, cost: float | None = None, pending: str | None = None) -> Answer:
        """Return what was found."""
        return Answer(dict(self._findings), cost, pending)


@lru_cache(maxsize=1_000)
def _wanted_of(names: Names, wanted: frozenset[Kind]) -> Names:
    """A job asks for the same of all its leads."""
    return tuple((theirs, ours) for theirs, ours in names if FIELDS[ours] in wanted)


def read_value(name: str, value: object) -> str:
    """Return a field's value in its normal form, "" when it is absent. Raises `Unavailable`."""
    if value is None:
        return ""
    if name == "company_size" and isinstance(value, int) and not isinstance(value, bool):
        return str(value) if 0 <= value < 10**9 else _refuse()
    if not isinstance(value, str):
        return _refuse()
    try:
        text = _normal(name, value)
    except InvalidInput:
        text = None
    return _refuse() if text is None else text


def _normal(name: str, value: str) -> str | None:
    if name == "email":
        return normal_email(value)
    if name == "domain":
        return normal_domain(value)
    if name.endswith("_url"):
        return normal_url(value, name)
    text = normal_text(value, name)
    if text and FIELDS[name] is Kind.PHONE and not _PHONE.fullmatch(text):
        return None
    return text


def read_score(value: object) -> int | None:
    """Return a score as a whole number from 0 to 100. Raises `Unavailable` for anything else but None."""
    if value is None:
        return None
    number = read_number(value)
    if not 0 <= number <= 100:
        raise Unavailable(NO_SENSE)
    return round(number)


def read_number(value: object) -> float:
    """Return a finite number. Raises `Unavailable`; texts and truths are none."""
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        raise Unavailable(NO_SENSE)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Unavailable(NO_SENSE)
    return number


def read_cost(value: object) -> float | None:
    """Return credits; None when the vendor does not say, or says what makes no sense.

    A cost that can't be read must not lose the answer that was paid for.
    """
    try:
        number = read_number(value)
    except Unavailable:
        return None
    # What is no price: the column, a `real`, would refuse the whole record for it.
    return number if number == 0 or _LEAST_COST <= number <= _MOST_COST else None


def section(fields: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Return the object under `name`, an empty one when it is absent. Raises `Unavailable`."""
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unavailable(NO_SENSE)
    return value


def _refuse() -> str:
    raise Unavailable(NO_SENSE)
