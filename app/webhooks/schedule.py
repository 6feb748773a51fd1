"""When a failed delivery is tried again, when it is given up, and what an answer says about the endpoint.

The delays are those of Standard Webhooks: ten attempts within a little more than three days. Jitter only ever lengthens
them, so that receivers who came back are not met by all at once, and never earlier than they were told.
"""

import random
from dataclasses import dataclass
from typing import Literal

#: Seconds before each attempt: the first at once.
DELAYS = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: A delay is lengthened by up to this part of it.
JITTER = 0.1
#: A receiver may ask for at most this much.
MAX_RETRY_AFTER = 86_400.0
GONE = 410
#: The receiver asks for a pause, not only for this one event.
BUSY = (429, 503)


@dataclass(frozen=True)
class Answer:
    """What came of one attempt. `status` None: no answer, `error` says why; `is_final`: no further attempt can go better."""

    status: int | None
    ms: int
    body: str = ""
    error: str | None = None
    retry_after: float | None = None
    is_final: bool = False


@dataclass(frozen=True)
class Verdict:
    """What follows: `wait` seconds until the next attempt where there is one, `pause` for the whole endpoint."""

    status: Literal["delivered", "pending", "failed"]
    wait: float | None = None
    pause: float | None = None
    is_gone: bool = False
    error: str | None = None


def judge(answer: Answer, attempt: int, *, chance: float | None = None) -> Verdict:
    """Decide what follows from the answer to attempt number `attempt` (1 is the first); `chance` is 0 to 1, random without it."""
    if answer.status is not None and 200 <= answer.status < 300:
        return Verdict("delivered")
    error = answer.error or _in_words(answer.status)
    if answer.status == GONE:
        return Verdict("failed", is_gone=True, error=error)
    asked = min(answer.retry_after or 0.0, MAX_RETRY_AFTER)
    pause = asked if asked and answer.status in BUSY else None
    if answer.is_final or attempt >= len(DELAYS):
        return Verdict("failed", pause=pause, error=error)
    lengthened = 1 + JITTER * (random.random() if chance is None else chance)  # noqa: S311 - not a secret
    return Verdict("pending", max(DELAYS[attempt] * lengthened, asked), pause, error=error)


def _in_words(status: int | None) -> str:
    if status is None:
        return "No answer."
    if status == GONE:
        return "The receiver answered 410: it wants no more events."
    if 300 <= status < 400:
        return f"The receiver answered {status}: redirects are not followed."
    return f"The receiver answered {status}."
