"""What the simulated MailTester knows about an address: fixed by the address, nothing is looked up.

Any address: about 70 % `ok`, 15 % `ko`, 10 % `mb` Catch-All and 5 % other `mb`, by a hash of the address. One of the form
`first.last@` is the one that the other vendors know of that person (`people.py`): it is `ok` where they find them.

The start of the local part forces an outcome, so that a demo or a test can say what it wants:

    ok-            ok Accepted                  catchall-     mb Catch-All
    ko-            ko Rejected                  greylist-     mb Greylisted
    nomx-          ko No MX                     mxerror-      mb MX Error
    disposable-    ko Disposable                mxtimeout-    mb Timeout
    limited-       ko Limited                   spamblock-    mb SPAM Block

    error500-      HTTP 500                     timeout-      no answer until the caller gives up
    garbage-       HTTP 200, broken JSON        close-        the connection drops
    throttled-     HTTP 429, "retry in 1 s"     slow-         ok, after 3 s

A number makes the trouble pass: `flaky2-` is HTTP 500 twice and then ok, `limited2-` and `throttled2-` the
same with their trouble. `slow250-` answers after 250 ms. What follows the dash is free.

The start of the domain forces the same for all its addresses, and so do the words of `people.py` in a domain, and in the
names of `first.last@`: found is `ok` for that address and Rejected for others, low Catch-All, miss and nobody Rejected, later
Greylisted. At `has-flast.…` the only mailbox is `flast`, whatever stands there. One vendor alone is meant as there:
`mailtester.catchall-`.
"""

import re
from dataclasses import dataclass
from typing import Final

from sandbox.mode import fraction
from sandbox.people import Question, forced, word_for


@dataclass(frozen=True, slots=True)
class Outcome:
    """`kind` is answer, error500, throttled, hang, garbage or close; the rest belongs to an answer."""

    kind: str
    code: str = ""
    message: str = ""
    slow_ms: float = 0.0

    @property
    def is_verdict(self) -> bool:
        """Tell whether it answers the question, which is what a provider charges for."""
        return self.kind == "answer" and self.message != "Limited"


ACCEPTED: Final = Outcome("answer", "ok", "Accepted")
LIMITED: Final = Outcome("answer", "ko", "Limited")
THROTTLED: Final = Outcome("throttled")
ERROR_500: Final = Outcome("error500")

FORCED: Final[dict[str, Outcome]] = {
    "ok": ACCEPTED,
    "ko": Outcome("answer", "ko", "Rejected"),
    "nomx": Outcome("answer", "ko", "No MX"),
    "disposable": Outcome("answer", "ko", "Disposable"),
    "limited": LIMITED,
    "catchall": Outcome("answer", "mb", "Catch-All"),
    "greylist": Outcome("answer", "mb", "Greylisted"),
    "mxerror": Outcome("answer", "mb", "MX Error"),
    "mxtimeout": Outcome("answer", "mb", "Timeout"),
    "spamblock": Outcome("answer", "mb", "SPAM Block"),
    "error500": ERROR_500,
    "garbage": Outcome("garbage"),
    "throttled": THROTTLED,
    "timeout": Outcome("hang"),
    "close": Outcome("close"),
    "slow": Outcome("answer", "ok", "Accepted", slow_ms=3_000.0),
}
#: Trouble that passes after the number of calls that follows the word.
PASSING: Final = {"flaky": ERROR_500, "limited": LIMITED, "throttled": THROTTLED}
_NUMBERED: Final = re.compile(r"(flaky|limited|throttled|slow)(\d{1,6})")

PROVIDER: Final = "mailtester"
#: At such a domain there is one mailbox, whose name follows.
_ONLY: Final = re.compile(rf"(?:^|\b{PROVIDER}\.)has-")
#: What a word of `people.py` means for an address.
_FATES: Final = {
    "found": ACCEPTED,
    "low": FORCED["catchall"],
    "miss": FORCED["ko"],
    "nobody": FORCED["ko"],
    "later": FORCED["greylist"],
}

#: Upper ends of the shares, in order.
SHARES: Final[tuple[tuple[float, Outcome], ...]] = (
    (0.70, ACCEPTED),
    (0.81, FORCED["ko"]),
    (0.84, FORCED["nomx"]),
    (0.85, FORCED["disposable"]),
    (0.95, FORCED["catchall"]),
    (0.965, FORCED["greylist"]),
    (0.98, FORCED["spamblock"]),
    (0.99, FORCED["mxtimeout"]),
    (1.00, FORCED["mxerror"]),
)


def decide(email: str, nth: int) -> Outcome:
    """Return the outcome of the `nth` call (from 1) about `email`; case does not matter."""
    email = email.lower()
    word, dash, _ = email.partition("-")
    if dash and "@" not in word:
        told = FORCED.get(word) or _numbered(word, nth)
        if told is not None:
            return told
    local, _, domain = email.rpartition("@")
    first, _, last = local.partition(".")
    is_person = bool(first and last) and "." not in last
    if "-" in email and (
        outcome := _forced_elsewhere(first, last, domain, nth, is_person=is_person)
    ):
        return outcome
    share = fraction(Question(first, last, domain=domain).subject if is_person else email)
    return next(outcome for end, outcome in SHARES if share < end)


def _forced_elsewhere(
    first: str, last: str, domain: str, nth: int, *, is_person: bool
) -> Outcome | None:
    """What a name or the domain says of an address."""
    if (only := _ONLY.search(domain)) is not None:
        local = f"{first}.{last}" if last else first
        return ACCEPTED if domain[only.end() :].startswith(f"{local}.") else FORCED["ko"]
    for text in (last, first, domain) if is_person else (domain,):
        word = word_for(PROVIDER, text)
        if (outcome := FORCED.get(word) or _numbered(word, nth)) is not None:
            return outcome
        if (fate := forced(word, nth)) is not None and fate.kind in _FATES:
            outcome = _FATES[fate.kind]
            return FORCED["ko"] if outcome is ACCEPTED and not is_person else outcome
    return None


def _numbered(word: str, nth: int) -> Outcome | None:
    found = _NUMBERED.fullmatch(word)
    if found is None:
        return None
    kind, number = found[1], int(found[2])
    if kind == "slow":
        return Outcome("answer", "ok", "Accepted", slow_ms=float(number))
    return PASSING[kind] if nth <= number else ACCEPTED
