"""The values of enrichment: what is known of a lead, what is wanted, and what a vendor found.

A `Lookup` is made by `Lookup.of`, which brings every field into one spelling; two rows that mean the same
person and want the same are equal and have the same `identity`. Nothing here does I/O or keeps state.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from operator import attrgetter
from types import MappingProxyType
from typing import Final, Self

from app.enrichment.normal_forms import normal_domain, normal_email, normal_text, normal_url


class Kind(StrEnum):
    """What sort of thing is wanted; each found field belongs to one."""

    EMAIL = "email"
    COMPANY = "company"
    SOCIAL = "social"
    PHONE = "phone"
    PERSON = "person"

    # Equal texts are equal kinds anyway; an enum's own hash is Python code, and sets of kinds are asked all the time.
    __hash__ = str.__hash__


#: Every field that can be found. A provider's client uses these names and no others.
FIELDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "email": Kind.EMAIL,
        "phone": Kind.PHONE,
        "company_phone": Kind.PHONE,
        "linkedin_url": Kind.SOCIAL,
        "twitter_url": Kind.SOCIAL,
        "github_url": Kind.SOCIAL,
        "facebook_url": Kind.SOCIAL,
        "first_name": Kind.PERSON,
        "last_name": Kind.PERSON,
        "full_name": Kind.PERSON,
        "position": Kind.PERSON,
        "location": Kind.PERSON,
        "company": Kind.COMPANY,
        "domain": Kind.COMPANY,
        "company_industry": Kind.COMPANY,
        "company_size": Kind.COMPANY,
        "company_linkedin_url": Kind.COMPANY,
        "company_country": Kind.COMPANY,
    }
)


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """What is known of a lead, normalised; "" stands for unknown. Not shown in logs and tracebacks."""

    first_name: str = ""
    last_name: str = ""
    full_name: str = ""
    company: str = ""
    domain: str = ""
    email: str = ""
    linkedin_url: str = ""

    @classmethod
    def of(
        cls,
        *,
        first_name: str = "",
        last_name: str = "",
        full_name: str = "",
        company: str = "",
        domain: str = "",
        email: str = "",
        linkedin_url: str = "",
    ) -> Self:
        """Normalise what a list says. Raises `InvalidInput` that names the field, never its content."""
        return cls(
            first_name=normal_text(first_name, "first_name"),
            last_name=normal_text(last_name, "last_name"),
            full_name=normal_text(full_name, "full_name"),
            company=normal_text(company, "company"),
            domain=normal_domain(domain),
            email=normal_email(email),
            linkedin_url=normal_url(linkedin_url, "linkedin_url"),
        )

    @property
    def has_name(self) -> bool:
        """Tell whether first and last name are known, apart or together."""
        return bool((self.first_name and self.last_name) or " " in self.full_name)

    @property
    def has_company(self) -> bool:
        """Tell whether the company is known, by domain or name."""
        return bool(self.domain or self.company)

    def knows(self, name: str, value: str) -> bool:
        """Tell whether field `name` is already known to be `value`; case does not matter."""
        known: str = getattr(self, name, "")
        return bool(known) and known.casefold() == value.casefold()


_SORTED: Final = tuple(sorted(Person.__slots__))
_FIELDS_OF: Final = ", ".join(f'"{name}": %s' for name in _SORTED)
_told_of: Final = attrgetter(*_SORTED)


@lru_cache(maxsize=1_000)
def _listed(kinds: frozenset[Kind]) -> str:
    """A job asks for the same of all its leads."""
    return ", ".join(quoted(kind.value) for kind in sorted(kinds))


@dataclass(frozen=True, slots=True)
class Lookup:
    """One question: this person, these kinds of fields."""

    person: Person
    wanted: frozenset[Kind]
    #: Made when it is asked for, then kept.
    _identity: str = field(default="", init=False, repr=False, compare=False)

    @classmethod
    def of(cls, wanted: Iterable[Kind | str], **known: str) -> Self:
        """Make one from what a list says; `known` are the fields of `Person`.

        Raises `InvalidInput` for a field that can't be read, `ValueError` for a kind that does not exist.
        """
        return cls(Person.of(**known), frozenset(Kind(kind) for kind in wanted))

    @property
    def identity(self) -> str:
        """A key for caches and single flight: 64 hex digits, the same in every process and version of Python.

        What is wanted is part of it, since an answer holds nothing else. It is a plain SHA-256 of personal data,
        which can be guessed back: treat it as personal data.
        """
        if not self._identity:
            # As JSON with sorted names: what is remembered from before is found by it.
            told = _told_of(self.person)
            fields = _FIELDS_OF % tuple(
                [quoted(each.casefold()) if each else '""' for each in told]
            )
            said = f"[{{{fields}}}, [{_listed(self.wanted)}]]"
            object.__setattr__(self, "_identity", hashlib.sha256(said.encode()).hexdigest())
        return self._identity


@dataclass(slots=True)
class Finding:
    """One field that was found. `score` is the vendor's own confidence, 0 to 100, or its client's rule; `found_at` is UTC."""

    name: str
    value: str = field(repr=False)
    provider: str
    score: int | None
    found_at: datetime
    #: As `as_json` made it, which is asked by the attempt, the memory and the result.
    _json: Mapping[str, object] | None = field(default=None, init=False, repr=False, compare=False)

    def as_json(self) -> Mapping[str, object]:
        """Return it as it is kept and shown; not to be changed."""
        if self._json is None:
            told = {
                "value": self.value,
                "provider": self.provider,
                "score": self.score,
                "found_at": self.found_at.isoformat().replace("+00:00", "Z"),
            }
            self._json = told
            return told
        return self._json


@dataclass(slots=True)
class Answer:
    """What a vendor knows: findings by field name, of the wanted kinds and not known before.

    `credits` is what the vendor says it cost (None: it does not say). `pending` is the name under which the
    vendor's later call speaks of this row; there may be findings already. `next_step` is what a `StepwiseProvider` goes on
    by: then there is no answer yet. `note` is what the vendor said beside, in a sentence for people without anything of the
    lead, and `code` the same in a word.
    """

    findings: Mapping[str, Finding] = field(default_factory=dict)
    credits: float | None = None
    pending: str | None = None
    next_step: str | None = None
    code: str | None = None
    note: str | None = None

    @property
    def is_miss(self) -> bool:
        """Tell whether the vendor has looked and found nothing, and nothing is to come."""
        return not self.findings and self.pending is None and self.next_step is None
