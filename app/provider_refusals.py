"""From an HTTP status that is no answer to one of the four kinds of errors, by a vendor's table."""

from collections.abc import Mapping
from typing import Final

from app.provider_calls import Reply, parse_header
from app.provider_errors import (
    OutOfCredit,
    ProviderError,
    Rejected,
    Throttled,
    Unauthorized,
    Unavailable,
)

Statuses = Mapping[int, tuple[type[ProviderError], str]]

#: What a status means where the vendor's documents say nothing else.
#: A 404 or a redirect is a wrong address of ours unless the vendor says in its own words that it found nobody.
USUAL: Final[Statuses] = {
    400: (Rejected, "The request was refused"),
    401: (Unauthorized, "The key was refused"),
    402: (OutOfCredit, "The key's plan is used up"),
    403: (Unauthorized, "The key was refused"),
    422: (Rejected, "The request was refused"),
    429: (Throttled, "Too many requests"),
}


def refusal_of(
    reply: Reply, statuses: Statuses = USUAL, *, word: str = "", retry_after: int | None = None
) -> ProviderError:
    """Return the error that the reply's status means; `Unavailable` where the table has no line for it.

    `word` is the vendor's own code, from a closed list: free text of a vendor may quote the person or the key.
    `retry_after` in seconds stands in for a missing header Retry-After.
    """
    kind, text = statuses.get(reply.status, (Unavailable, "The provider failed"))
    said = f", {word}" if word else ""
    wait = parse_header(reply.retry_after)
    return kind(
        f"{text} (HTTP {reply.status}{said}).", retry_after=retry_after if wait is None else wait
    )
