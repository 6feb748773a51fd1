"""Hunter's words about an address, translated: one table from what the vendor says to what Laneway says.

Source: the vendor's reference for GET /v2/email-verifier and its list of errors. Two of its statuses are not what
they are elsewhere: 403 is the rate limit, and 429 the plan's quota. What the table does not list is never guessed to
be a bad address.
"""

from typing import Final

from app.provider_calls import Reply, parse_header, read_object
from app.provider_errors import (
    OutOfCredit,
    ProviderError,
    Rejected,
    StillLooking,
    Throttled,
    Unavailable,
)
from app.provider_refusals import USUAL, Statuses, refusal_of
from app.verdicts import Verdict
from app.verification.provider import Answer, utc_now

NAME: Final = "hunter"

#: `status` of an answer -> verdict. `webmail` only says whose server it is: see `_verdict`. `unknown` is paid for and
#: final: the vendor has looked and cannot tell.
VERDICTS: Final[dict[str, Verdict]] = {
    "valid": Verdict.VALID,
    "invalid": Verdict.INVALID,
    "accept_all": Verdict.CATCH_ALL,
    "webmail": Verdict.UNKNOWN,
    "disposable": Verdict.INVALID,
    "unknown": Verdict.UNKNOWN,
}
#: 429 opens the key instead of slowing it down: no spacing of calls brings the plan's quota back. 403 is the opposite:
#: the key is right and free again within the minute. 451 is about the person, and final.
STATUSES: Final[Statuses] = {
    **USUAL,
    403: (Throttled, "Too many requests"),
    429: (OutOfCredit, "The plan's quota is used up"),
    451: (Rejected, "The vendor may not process this person's data"),
}
#: Not yet: still being looked at, or the address's own server answered oddly. Neither is the key's fault.
_ASK_AGAIN: Final = {
    202: "The vendor is still looking (HTTP 202).",
    222: "The address's mail server answered the vendor oddly (HTTP 222).",
}
#: Codes of Hunter's errors that may be shown. Whatever else stands there may quote what was asked.
_WORDS: Final = frozenset(
    {
        "authentication_failed",
        "claimed_email",
        "invalid_email",
        "restricted_account",
        "too_many_requests",
        "wrong_params",
    }
)


def read_reply(reply: Reply) -> Answer:
    """Return what Hunter says about the address. Raises a `ProviderError` for everything that is no verdict."""
    if reply.status == 200:
        return _read_verdict(reply.body)
    if reply.status in _ASK_AGAIN:
        raise StillLooking(_ASK_AGAIN[reply.status], retry_after=parse_header(reply.retry_after))
    raise refusal_of(reply, STATUSES, word=_word(reply.body))


def _read_verdict(body: bytes) -> Answer:
    data = read_object(body).get("data")
    if not isinstance(data, dict):
        raise Unavailable("The answer is not the JSON that was expected.")
    status = data.get("status")
    if not isinstance(status, str) or status not in VERDICTS:
        raise Unavailable("The answer has a status that is not known.")
    return Answer(_verdict(status, data), status, _score(data), None, NAME, utc_now())


def _verdict(status: str, data: dict[str, object]) -> Verdict:
    """Mailboxes of the large services are judged by the talk with their server, which passed or did not tell."""
    if status == "webmail" and data.get("smtp_check") is True:
        return Verdict.VALID
    return VERDICTS[status]


def _score(data: dict[str, object]) -> str:
    score = data.get("score")
    if isinstance(score, bool) or not isinstance(score, int) or not 0 <= score <= 100:
        return ""
    return f"score {score} of 100"


def _word(body: bytes) -> str:
    try:
        errors = read_object(body).get("errors")
    except ProviderError:
        return ""
    first = errors[0] if isinstance(errors, list) and errors else None
    word = first.get("id") if isinstance(first, dict) else None
    return word if isinstance(word, str) and word in _WORDS else ""
