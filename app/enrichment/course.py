"""One lead's way along its chain of providers: whom to ask next, about what, and what it comes to.

Plain values, no I/O. A provider that was asked and answered (found, miss, refused) is never asked again for this lead; one
that failed is asked again at the next attempt; one that has no key to give, or needs what is not known, is gone round.
What one provider found is known to the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from app.enrichment.lookup import FIELDS, Finding, Kind, Lookup, Person
from app.provider_errors import ProviderError

#: What shows that a kind was found: the first of these that a provider said. Without one of them the kind is still wanted.
PRINCIPAL: Mapping[Kind, tuple[str, ...]] = {
    Kind.EMAIL: ("email",),
    Kind.COMPANY: tuple(name for name, kind in FIELDS.items() if kind is Kind.COMPANY),
    Kind.SOCIAL: ("linkedin_url", "twitter_url"),
    Kind.PHONE: ("phone", "company_phone"),
    Kind.PERSON: ("position", "full_name", "location"),
}
#: What ends the search for a kind where the client itself told it: nobody is paid for what is there. It counts as given, not
#: as found. A name and a company say where to look and are no data about either: nothing that is told ends that search.
_GIVEN: Mapping[Kind, str] = {Kind.EMAIL: "email", Kind.SOCIAL: "linkedin_url"}
_NONE: frozenset[Kind] = frozenset()


@dataclass
class Course:
    """The state of one lead. `chain` are names of providers; `min_score` is what an e-mail's score must be to end the search."""

    lookup: Lookup
    chain: Sequence[str]
    min_score: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)
    #: Provider -> found, miss, refused, pending (its answer comes later), late (it did not come in time).
    answers: dict[str, str] = field(default_factory=dict)
    #: Provider -> its error in this attempt.
    failures: dict[str, ProviderError] = field(default_factory=dict)
    #: Provider -> why it was gone round.
    skipped: dict[str, str] = field(default_factory=dict)
    #: Those of them that can't be asked by what is known, whatever keys there are.
    unable: set[str] = field(default_factory=set)
    #: Provider -> the step by which it goes on: it was asked about the lead as it is known now, and needs another call.
    steps: dict[str, str] = field(default_factory=dict)
    #: Provider -> what it said beside, in a sentence.
    notes: dict[str, str] = field(default_factory=dict)
    #: The kinds that are still wanted. What follows from the findings is kept until there are others (only `answer` adds some).
    missing: frozenset[Kind] = field(init=False, repr=False)
    _questions: dict[frozenset[Kind], Lookup | None] = field(
        default_factory=dict, init=False, repr=False
    )

    def __post_init__(self) -> None:
        #: Whether the client told anything that ends a search.
        self._tells = bool(self.lookup.person.email or self.lookup.person.linkedin_url)
        self.missing = self._still_missing()

    def next_provider(self) -> str | None:
        """Return whom to ask now; None when nothing is missing or nobody is left in this attempt."""
        if not self.missing:
            return None
        for name in self.chain:
            if not (name in self.answers or name in self.failures or name in self.skipped):
                return name
        return None

    def question(self, finds: frozenset[Kind]) -> Lookup | None:
        """Return what to ask a provider that finds these kinds; None when it finds nothing that is missing.

        It is the same object until something new was found.
        """
        if finds not in self._questions:
            wanted = self.missing & finds
            self._questions[finds] = self._asks_for(wanted) if wanted else None
        return self._questions[finds]

    def answer(
        self,
        provider: str,
        outcome: str,
        findings: Mapping[str, Finding],
        note: str | None = None,
    ) -> None:
        """Take an answer in: found, miss, refused or pending. Of two values for a field the surer one stays."""
        self.answers[provider] = outcome
        self.steps.pop(provider, None)
        if note:
            self.notes[provider] = note
        known = self._known() if self.steps else None
        for name, found in findings.items():
            held = self.findings.get(name)
            if held is None or (found.score or 0) > (held.score or 0):
                self.findings[name] = found
        if findings:
            self.missing = self._still_missing()
            self._questions.clear()
        if self.steps and self._known() != known:
            # What was asked step by step was asked about somebody of whom less was known.
            self.steps.clear()

    def begin_anew(self) -> None:
        """Begin another attempt: who failed or had nothing to give may be asked."""
        self.failures.clear()
        self.skipped.clear()
        self.unable.clear()

    @property
    def waits_for(self) -> str | None:
        """Return the provider whose later answer is waited for, None for nobody: it is paid for, so the next one is not."""
        for name, said in self.answers.items():
            if said == "pending":
                return name
        return None

    @property
    def is_settled(self) -> bool:
        """Whether there is something to say: something was found, or a provider has looked and said what it knows."""
        return (
            not self.missing
            or bool(self.findings)
            or any(said in ("found", "miss") for said in self.answers.values())
        )

    @property
    def is_out_of_reach(self) -> bool:
        """Whether a company is wanted that is known by name or domain, and nobody of the chain can be asked by that."""
        return (
            Kind.COMPANY in self.missing
            and self.lookup.person.has_company
            and self.unable.issuperset(self.chain)
        )

    @property
    def given(self) -> frozenset[Kind]:
        """The kinds that the client told itself, so that nobody was asked for them."""
        if not self._tells:
            return _NONE
        told = (kind for kind in self.lookup.wanted - self.missing if not self._is_found(kind))
        return frozenset(told)

    @property
    def verdict(self) -> str:
        """`found` when nothing is missing, also where all was given; `partial` when something was found, else `not_found`."""
        if not self.missing:
            return "found"
        return "partial" if self.findings else "not_found"

    def data(self) -> dict[str, Any]:
        """Return what is kept with the result: every field with its source, and what became of each provider."""
        providers = dict(self.answers)
        if self.notes:
            providers |= {
                name: f"{self.answers[name]}: {note}" for name, note in self.notes.items()
            }
        if self.failures:
            providers |= {name: f"failed: {error.message}" for name, error in self.failures.items()}
        if self.skipped:
            providers |= {name: f"skipped: {why}" for name, why in self.skipped.items()}
        kept = {
            "fields": {name: found.as_json() for name, found in self.findings.items()},
            "providers": providers,
        }
        if not (kinds := self.given):
            return kept
        names = (name for kind, name in _GIVEN.items() if kind in kinds)
        return {**kept, "given": {name: getattr(self.lookup.person, name) for name in names}}

    def _still_missing(self) -> frozenset[Kind]:
        wanted = self.lookup.wanted
        if not (self.findings or self._tells):
            return wanted
        return frozenset([kind for kind in wanted if not self._has(kind)])

    def _has(self, kind: Kind) -> bool:
        return self._is_found(kind) or (
            # Told or not, one that is not sure enough is still being looked for.
            not (kind is Kind.EMAIL and "email" in self.findings)
            and bool(getattr(self.lookup.person, self._given_by(kind), ""))
        )

    def _is_found(self, kind: Kind) -> bool:
        if kind is Kind.EMAIL:
            found = self.findings.get("email")
            return found is not None and (found.score is None or found.score >= self.min_score)
        if kind is Kind.SOCIAL and self.lookup.person.linkedin_url:
            return any(FIELDS[name] is kind for name in self.findings)
        return any(name in self.findings for name in PRINCIPAL[kind])

    def _given_by(self, kind: Kind) -> str:
        """Return the field that ends the search where the client told it. Of a profile alone the others are wanted."""
        if kind is Kind.SOCIAL and self.lookup.wanted == {Kind.SOCIAL}:
            return ""
        return _GIVEN.get(kind, "")

    def _asks_for(self, wanted: frozenset[Kind]) -> Lookup:
        person = self._known()
        if person is self.lookup.person and wanted == self.lookup.wanted:
            return self.lookup
        return Lookup(person, wanted)

    def _known(self) -> Person:
        """The person with what was found filled in where nothing was known."""
        person = self.lookup.person
        if not self.findings:
            return person
        found = {
            name: finding.value
            for name, finding in self.findings.items()
            if name in Person.__slots__ and not getattr(person, name)
        }
        # An e-mail that is not sure enough is still being looked for.
        if Kind.EMAIL in self.missing:
            found.pop("email", None)
        return replace(person, **found) if found else person


def read_findings(kept: Mapping[str, Mapping[str, Any]]) -> dict[str, Finding]:
    """Return findings from how they are kept; fields that this version does not know are left out."""
    return {
        name: Finding(
            name,
            told["value"],
            told["provider"],
            told["score"],
            datetime.fromisoformat(told["found_at"]),
        )
        for name, told in kept.items()
        if name in FIELDS
    }
