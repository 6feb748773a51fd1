"""What the simulated enrichment vendors know about a person: fixed by the question, nothing is looked up.

Anybody: about 70 % found, 10 % found with a low score, 20 % missed, by a hash of the question.

The start of the last name, the first name, the domain or the e-mail (the first that has one) forces an outcome:

    found-   low-       score 20                 error500-   HTTP 500
    miss-    nobody-    a 404 where there is one garbage-    HTTP 200, broken JSON
    later-   202, or found in a later call       odd-        HTTP 200, fields of the wrong types
    blocked- 451, or refused                     truncated-  the connection ends in mid-body
    throttled-  the vendor's "too fast"          huge-       HTTP 200 with 10 MB
    spent-      the vendor's "plan used up"      close-      the connection drops at once
    slow-    found, after 3 s                    timeout-    no answer until the caller gives up

A number makes the trouble pass: `flaky2-` is HTTP 500 twice and then found, `throttled2-` and `later2-` the same.
`slow250-` answers after 250 ms. What follows the dash is free. One vendor alone is meant by its name in front, and each
may have its own: `apollo.miss-hunter.found-`.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from sandbox.mode import fraction

#: What a row may be; everything else is of the whole call.
ROW_KINDS: Final = frozenset({"found", "low", "miss", "nobody", "later", "odd"})
_CALL_KINDS: Final = frozenset(
    {
        "error500",
        "garbage",
        "truncated",
        "huge",
        "close",
        "timeout",
        "blocked",
        "throttled",
        "spent",
    }
)
_PASSING: Final = {"flaky": "error500", "throttled": "throttled", "later": "later"}
_NUMBERED: Final = re.compile(r"(flaky|throttled|later|slow)(\d{1,6})")
_NOT_LOCAL: Final = re.compile(r"[^a-z0-9.-]")
#: Of a part of a domain (RFC 1035); what stands before an e-mail's @ may be one longer.
MAX_LABEL: Final = 63
_SHARES: Final = ((0.70, "found"), (0.80, "low"), (1.0, "miss"))


@dataclass(frozen=True, slots=True)
class Question:
    """Whom a call asks about; "" is not said."""

    first_name: str = ""
    last_name: str = ""
    company: str = ""
    domain: str = ""
    email: str = ""
    linkedin_url: str = ""

    @property
    def subject(self) -> str:
        """The question in one line, as the record has it."""
        name = " ".join(part for part in (self.first_name, self.last_name) if part)
        place = self.domain or self.company
        return self.email or (f"{name} @ {place}" if name and place else name or self.linkedin_url)

    @property
    def host(self) -> str:
        """The company's domain, made up from its name where only that was said."""
        if self.domain or self.email:
            return self.domain or self.email.rpartition("@")[2]
        said = self.company or " ".join(self.names)
        label = "".join(c for c in said.lower() if c.isalnum() and c.isascii())[:MAX_LABEL]
        # Of a name in another script nothing is left; the vendors know its domain all the same.
        return f"{label or hashlib.blake2b(said.encode(), digest_size=6).hexdigest()}.example"

    @property
    def names(self) -> tuple[str, str]:
        """First and last name; of a profile's address alone, the words of its last part."""
        if self.first_name or self.last_name or not self.linkedin_url:
            return self.first_name, self.last_name
        words = self.linkedin_url.rstrip("/").rpartition("/")[2].split("-")
        return words[0].title(), " ".join(words[1:]).title()

    @property
    def found_email(self) -> str:
        """The e-mail that the vendors know."""
        first, last = self.names
        parts = [_NOT_LOCAL.sub("", part.lower()).strip(".-") for part in (first or "info", last)]
        local = re.sub(r"\.{2,}", ".", ".".join(part for part in parts if part))
        return self.email or f"{local[:MAX_LABEL].rstrip('.') or 'info'}@{self.host}"


@dataclass(frozen=True, slots=True)
class Fate:
    """`kind` is one of the words above; `slow_ms` is waited before the answer."""

    kind: str
    slow_ms: float = 0.0

    @property
    def is_row(self) -> bool:
        """Tell whether it is about one row and not the whole call."""
        return self.kind in ROW_KINDS

    @property
    def is_found(self) -> bool:
        """Tell whether there is something to charge for."""
        return self.kind in {"found", "low", "later"}


def decide(question: Question, nth: int, provider: str = "") -> Fate:
    """Return what becomes of a provider's `nth` call (from 1) about `question`; case does not matter."""
    for text in (question.last_name, question.first_name, question.domain, question.email):
        fate = forced(word_for(provider, text.lower()), nth)
        if fate is not None:
            return fate
    share = fraction(question.subject.lower())
    return next(Fate(kind) for end, kind in _SHARES if share < end)


def word_for(provider: str, text: str) -> str:
    """Return the word before the first dash, or the first of those meant for another that is meant for this one or for all."""
    word, dash, rest = text.partition("-")
    vendor, dot, own = word.partition(".")
    if not dash:
        return ""
    if dot and vendor != provider:
        return word_for(provider, rest)
    return own if dot else word


def forced(word: str, nth: int) -> Fate | None:
    """Return what a word forces for the `nth` call; None where it is no word of these."""
    if word in ROW_KINDS | _CALL_KINDS:
        return Fate(word)
    if word == "slow":
        return Fate("found", slow_ms=3_000.0)
    found = _NUMBERED.fullmatch(word)
    if found is None:
        return None
    kind, number = found[1], int(found[2])
    if kind == "slow":
        return Fate("found", slow_ms=float(number))
    return Fate(_PASSING[kind] if nth <= number else "found")
