"""What the simulated MailTester knows about an address: fixed by the address, nothing is looked up.

Any address: about 70 % `ok`, 15 % `ko`, 10 % `mb` Catch-All and 5 % other `mb`, by a hash of the address.

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
"""

import re
from dataclasses import dataclass
from typing import Final

from sandbox.mode import fraction


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
        forced = FORCED.get(word) or _numbered(word, nth)
        if forced is not None:
            return forced
    share = fraction(email)
    return next(outcome for end, outcome in SHARES if share < end)


def _numbered(word: str, nth: int) -> Outcome | None:
    found = _NUMBERED.fullmatch(word)
    if found is None:
        return None
    kind, number = found[1], int(found[2])
    if kind == "slow":
        return Outcome("answer", "ok", "Accepted", slow_ms=float(number))
    return PASSING[kind] if nth <= number else ACCEPTED
