"""The addresses that somebody may have at a company, the likeliest first: what MailTester is asked about, one by one.

Source: the vendor's own finder, which "tries the usual patterns (first.last, flast, first...) one by one and returns the first
address the mail server accepts; each pattern tried counts as one verification". Which patterns follow the three that it
names, and the scores, are ours.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from app.enrichment.lookup import Person

#: What an accepted address says of whose it is. The vendor gives no score: it knows that a mailbox is there, not who reads it.
#: Two people of one company seldom share a whole name, sometimes an initial with a last name, and often a first or a last one.
WHOLE: Final = 95
INITIAL: Final = 80
ALONE: Final = 50
#: Name of the pattern, which is the step on record; its form; its score. Each is a verification to pay for.
PATTERNS: Final = (
    ("first.last", "{first}.{last}", WHOLE),
    ("flast", "{f}{last}", INITIAL),
    ("first", "{first}", ALONE),
    ("firstlast", "{first}{last}", WHOLE),
    ("f.last", "{f}.{last}", INITIAL),
    ("first_last", "{first}_{last}", WHOLE),
    ("last", "{last}", ALONE),
    ("firstl", "{first}{l}", INITIAL),
)
MOST: Final = len(PATTERNS)
#: Of what stands before the @ (RFC 5321, 4.5.3.1.1).
_LONGEST: Final = 64
#: What no decomposition makes ASCII letters of.
_LETTERS: Final = str.maketrans(
    {"æ": "ae", "ø": "o", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "\u0131": "i"}
)
#: German spells its umlauts out; elsewhere the dots are left out.
_UMLAUTS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_GERMAN: Final = (".de", ".at", ".ch", ".li")
_STRANGE: Final = re.compile(r"[^a-z0-9-]+")
#: What begins a last name of several words.
_PARTICLE: Final = re.compile(
    "al|bin|da|de|del|della|den|der|di|do|dos|du|el|la|le|ten|ter|van|von|zu|zum|zur"
)
#: What stands before or after a name without being part of it.
_TITLE: Final = re.compile("dr|prof|mr|mrs|ms|jr|sr|ii|iii|phd|md|mba")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address that may be the person's, by a pattern; `score` is what it is worth once it is accepted, 0 to 100."""

    pattern: str
    email: str = field(repr=False)
    score: int


def candidates_of(person: Person) -> tuple[Candidate, ...]:
    """Return up to `MOST` different addresses in their order; none where a name or the domain is not known, or not Latin."""
    first, last = (_ascii(part, person.domain) for part in _names(person))
    if not (first and last and person.domain):
        return ()
    parts = {"first": first, "last": last, "f": first[0], "l": last[0]}
    found: dict[str, Candidate] = {}
    for pattern, form, score in PATTERNS:
        local = form.format(**parts)
        if not 1 < len(local) <= _LONGEST:
            continue
        # A first name of one letter is an initial, whatever the pattern takes it for.
        worth = min(score, INITIAL) if len(first) == 1 else score
        email = f"{local}@{person.domain}"
        found.setdefault(email, Candidate(pattern, email, worth))
    return tuple(found.values())


def _names(person: Person) -> tuple[str, str]:
    """First name without further ones, and last name in one word."""
    if person.first_name and person.last_name:
        first, last = _words(person.first_name), _words(person.last_name)
        return first[0] if first else "", "".join(last)
    words = _words(person.full_name)
    if len(words) < 2:
        return "", ""
    begin = len(words) - 1
    while begin > 1 and _PARTICLE.fullmatch(words[begin - 1].casefold()):
        begin -= 1
    return words[0], "".join(words[begin:])


def _words(name: str) -> Sequence[str]:
    """The words of a name: no titles, and nothing after a comma, where degrees stand."""
    words = name.partition(",")[0].split()
    return [
        word for word in words if not _TITLE.fullmatch(word.casefold().replace(".", ""))
    ] or words


def _ascii(name: str, domain: str) -> str:
    """A name in lower-case ASCII with its hyphens; "" where letters of another script would be lost."""
    text = unicodedata.normalize("NFC", name).casefold().translate(_LETTERS)
    if domain.endswith(_GERMAN):
        text = text.translate(_UMLAUTS)
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    if any(c.isalpha() and not c.isascii() for c in plain):
        return ""
    return re.sub("-{2,}", "-", _STRANGE.sub("", plain)).strip("-")
