"""MailTester's words, translated: one table from what the vendor says to what Laneway says.

The table follows the vendor's list of results (code and message of `/ninja`). What it does not list is
never guessed to be a bad address.
"""

import math
import re
from dataclasses import dataclass
from typing import Final

from app.plain_text import clean_text
from app.provider_calls import parse_header, read_object
from app.provider_errors import Limited, Rejected, Throttled, Unauthorized, Unavailable
from app.verdicts import Verdict

NAME: Final = "mailtester"

#: (code, message in lower case) -> verdict; `None` as message stands for every other message of the code.
#: Source: the vendor's result list for GET /ninja.
#:
#: An `mb` other than Catch-All is final here, greylisting and time-outs of the mail host included: it is
#: a paid answer ("we looked and cannot tell"), the vendor has already tried for a while, and greylisting
#: lifts after minutes at best. Asking again is a person's decision ("retry"), not a loop's.
VERDICTS: Final[dict[tuple[str, str | None], Verdict]] = {
    ("ok", None): Verdict.VALID,
    ("ko", "rejected"): Verdict.INVALID,
    ("ko", "no mx"): Verdict.INVALID,
    ("ko", "disposable"): Verdict.INVALID,
    ("ko", None): Verdict.INVALID,
    ("mb", "catch-all"): Verdict.CATCH_ALL,
    ("mb", "mx error"): Verdict.UNKNOWN,
    ("mb", "timeout"): Verdict.UNKNOWN,
    ("mb", "spam block"): Verdict.UNKNOWN,
    ("mb", "greylisted"): Verdict.UNKNOWN,
    ("mb", None): Verdict.UNKNOWN,
}
#: Listed by the vendor under `ko`, taken as throttling by others: tried again, never "invalid".
LIMITED: Final = ("ko", "limited")
#: Sent with HTTP 200 for a key that is wrong or disabled.
BAD_KEY: Final = "--"

_RETRY_IN = re.compile(r"retry\s+(?:in|after)\s+(\d+(?:\.\d+)?)\s*(ms|m\b|min)?", re.IGNORECASE)
_LONGEST_WAIT_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Checked:
    """What the vendor says of an address: our verdict, its own `code` and `message`, the mail host `mx` that it saw."""

    verdict: Verdict
    code: str
    message: str
    mx: str | None


def read_answer(body: bytes, *, hide: str) -> Checked:
    """Turn the body of an HTTP 200 into what it says. `hide` is the secret that no text may repeat.

    Raises `Limited`, `Unauthorized` (`--`), or `Unavailable` for a body that is not one of the shapes.
    """
    fields = read_object(body)
    code = fields.get("code")
    if not isinstance(code, str):
        raise Unavailable("The answer has no result code.")
    message = clean_text(fields.get("message"), hide=hide)
    if code == BAD_KEY:
        raise Unauthorized("The key is wrong or disabled.")
    if (code, message.lower()) == LIMITED:
        raise Limited("The provider answered: limited.", retry_after=parse_wait(message))
    verdict = VERDICTS.get((code, message.lower())) or VERDICTS.get((code, None))
    if verdict is None:
        raise Unavailable("The answer has a result code that is not known.")
    mx = clean_text(fields.get("mx"), hide=hide) or None
    return Checked(verdict, code, message, mx)


def raise_for_status(status: int, body: bytes, retry_after: str | None) -> None:
    """Raise what an HTTP status other than 200 means. `retry_after` is the header, if any.

    Only 400 and 422 speak about the request itself. A 404 or a redirect is a wrong address of ours, and
    402 is a key without credit.
    """
    if status == 429:
        wait = parse_wait(body[:1_000].decode("utf-8", "replace"))
        raise Throttled("Too many requests.", retry_after=wait or parse_header(retry_after))
    if status in {401, 402, 403}:
        raise Unauthorized(f"The key was refused (HTTP {status}).")
    if status in {400, 422}:
        raise Rejected(f"The request was refused (HTTP {status}).")
    raise Unavailable(f"HTTP {status}.", retry_after=parse_header(retry_after))


def parse_wait(text: str) -> int | None:
    """Find "retry in N s" (also ms, min) and return whole seconds, rounded up, at most a day."""
    found = _RETRY_IN.search(text)
    if not found:
        return None
    unit = (found[2] or "").lower()
    factor = 0.001 if unit == "ms" else 60.0 if unit else 1.0
    # Bounded first: of so many digits that they make an infinity there is no whole number.
    return math.ceil(min(float(found[1]) * factor, _LONGEST_WAIT_SECONDS))
