"""What a lead's course comes to, as the outcome of its row, with words for people."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache

from app.enrichment.course import Course
from app.enrichment.lookup import Kind, Lookup, Person
from app.jobs.records import Outcome

#: `provider` of an outcome that no provider had a part in.
NOBODY = "laneway"
_KINDS = {
    Kind.EMAIL: "e-mail",
    Kind.COMPANY: "company",
    Kind.SOCIAL: "social profiles",
    Kind.PHONE: "phone",
    Kind.PERSON: "person",
}


def answered(item_no: int, course: Course) -> Outcome:
    """Return the outcome of a lead that all were asked about, or that everything was found of."""
    return Outcome(
        item_no,
        course.verdict,
        None,
        _sentence(course),
        None,
        _provider(course),
        datetime.now(UTC),
        data=course.data(),
    )


def broken_off(item_no: int, course: Course, code: str, why: str) -> Outcome:
    """Return the outcome of a lead whose last attempt failed: what was found stays, nothing found is no answer."""
    if course.findings:
        return Outcome(
            item_no,
            course.verdict,
            code,
            f"{_sentence(course)} {why}",
            None,
            _provider(course),
            datetime.now(UTC),
            data=course.data(),
        )
    return failed(item_no, code, why, course)


def failed(item_no: int, code: str, why: str, course: Course | None = None) -> Outcome:
    """Return the outcome of a lead of which nothing could be learnt; it may be retried."""
    return Outcome(
        item_no,
        "unknown",
        code,
        why,
        None,
        _provider(course) if course else NOBODY,
        datetime.now(UTC),
        is_failure=True,
        data=course.data() if course else None,
    )


def unasked(item_no: int, course: Course) -> Outcome:
    """Return the outcome of a lead that nobody could be asked about, or whose question was refused.

    Of a company by itself it is an answer, which no retry changes: whoever can be asked knows people only.
    """
    if "refused" in course.answers.values():
        return failed(
            item_no,
            "provider_rejected",
            "The provider refused the question about this lead.",
            course,
        )
    if "late" in course.answers.values():
        why = "The provider's answer did not come within the time that it is waited for."
        return failed(item_no, "late", why, course)
    if not any(getattr(course.lookup.person, name) for name in Person.__slots__):
        why = "Nothing is known of this lead: send its name and company, its e-mail or its LinkedIn address."
        return failed(item_no, "nothing_known", why, course)
    why = " ".join(course.skipped.values()) or "No provider could be asked."
    if course.is_out_of_reach:
        why = f"{_sentence(course)} {why}"
        return replace(answered(item_no, course), code="nobody_to_ask", message=why)
    return failed(item_no, "nobody_to_ask", why, course)


def email_to_verify(outcome: Outcome, lookup: Lookup | None) -> str:
    """Return the e-mail that was found, else the one that the lead came with; "" for none."""
    fields = outcome.data["fields"] if outcome.data else {}
    if "email" in fields:
        return str(fields["email"]["value"])
    return lookup.person.email if lookup else ""


def _sentence(course: Course) -> str:
    wanted, missing, given = course.lookup.wanted, course.missing, course.given
    words = _words(wanted - missing - given, given, missing, found_any=bool(course.findings))
    return words if course.findings else " ".join([words, *dict.fromkeys(course.notes.values())])


@lru_cache(maxsize=1_000)
def _words(
    found: frozenset[Kind], given: frozenset[Kind], missing: frozenset[Kind], *, found_any: bool
) -> str:
    """There are few of them, however many leads."""
    parts = [("Found", found if found_any else frozenset()), ("Not found", missing)]
    told = [f"{word}: {_listed(kinds)}." for word, kinds in (*parts, ("Given", given)) if kinds]
    return " ".join(told if found or missing else [*told, "There was nothing to look for."])


def _listed(kinds: frozenset[Kind]) -> str:
    return ", ".join(word for kind, word in _KINDS.items() if kind in kinds)


def _provider(course: Course) -> str:
    """Whose finding matters most: the e-mail's, else the first's; else who was asked last."""
    found = course.findings.get("email") or next(iter(course.findings.values()), None)
    if found is not None:
        return found.provider
    return next(reversed([*course.failures, *course.answers]), NOBODY)
