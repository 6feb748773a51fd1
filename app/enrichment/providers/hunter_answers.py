"""Hunter's words, translated: what a reply of the Email Finder means.

Source: the vendor's reference for GET /v2/email-finder and its list of errors. Two of its statuses are not what
they are elsewhere: 403 is the rate limit, and 429 the plan's quota.
"""

from typing import Final

from app.enrichment.gathering import NO_SENSE, Gathering
from app.enrichment.lookup import Answer, Kind, Lookup
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

NAME: Final = "hunter"

#: 429 opens the key instead of slowing it down: the quota comes back with the next billing period, and no spacing
#: of calls brings it sooner. 403 is the opposite: the key is right and free again within the minute.
STATUSES: Final[Statuses] = {
    **USUAL,
    403: (Throttled, "Too many requests"),
    429: (OutOfCredit, "The plan's quota is used up"),
    451: (Rejected, "The vendor may not process this person's data"),
}

#: The finder's fields and ours. The first is the question itself.
_FIELDS: Final = (
    ("first_name", "first_name"),
    ("last_name", "last_name"),
    ("position", "position"),
    ("company", "company"),
    ("domain", "domain"),
    ("linkedin_url", "linkedin_url"),
    ("phone_number", "phone"),
)

#: Codes of Hunter's errors that may be shown. Whatever else stands there may quote what was asked.
_WORDS: Final = frozenset(
    {
        "authentication_failed",
        "claimed_email",
        "invalid_company",
        "invalid_domain",
        "invalid_first_name",
        "invalid_full_name",
        "invalid_last_name",
        "restricted_account",
        "too_many_requests",
        "wrong_params",
    }
)


def read_reply(reply: Reply, lookup: Lookup) -> Answer:
    """Return what Hunter found. Raises a `ProviderError` for everything that is neither a find nor a miss.

    The finder answers 200 with an e-mail that is null where it knows none. Hunter says nowhere what a call cost.
    """
    if reply.status == 200:
        return _read_found(reply.body, lookup)
    if reply.status == 202:
        raise StillLooking(
            "The vendor is still looking (HTTP 202).", retry_after=parse_header(reply.retry_after)
        )
    errors = _errors(reply.body)
    if reply.status == 404 and errors is not None:
        return Answer()
    raise refusal_of(reply, STATUSES, word=_word(errors or []))


def _read_found(body: bytes, lookup: Lookup) -> Answer:
    data = read_object(body).get("data")
    if not isinstance(data, dict) or "email" not in data:
        raise Unavailable("The answer is not the JSON that was expected.")
    if data["email"] is None or data["email"] == "":
        # The rest only repeats the question then.
        return Answer()
    if not isinstance(data["email"], str):
        raise Unavailable(NO_SENSE)
    found = Gathering(NAME, lookup)
    found.take("email", data["email"], score=data.get("score") if found.wants(Kind.EMAIL) else None)
    found.take_all(_FIELDS, data)
    return found.answer()


def _errors(body: bytes) -> list[object] | None:
    """Hunter's own list of errors, which tells its answers from those of something in between."""
    try:
        errors = read_object(body).get("errors")
    except ProviderError:
        return None
    return errors if isinstance(errors, list) and errors else None


def _word(errors: list[object]) -> str:
    first = errors[0] if errors else None
    word = first.get("id") if isinstance(first, dict) else None
    return word if isinstance(word, str) and word in _WORDS else ""
