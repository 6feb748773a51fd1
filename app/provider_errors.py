"""What can go wrong with a provider, in four kinds, and the one table that says what follows.

Every provider client raises these and nothing else. Whoever runs the calls asks `policy_of` and never
looks at the provider: that is what keeps "an error is never a verdict" true for all of them. Messages
are short, come from this code base where possible, and never carry a key or an address.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.errors import LanewayError


class ProviderError(LanewayError):
    """Base of the four kinds. `retry_after` is in whole seconds; None: the provider did not say.

    `credits` is what the call cost although it brought no answer; None: nothing, or nobody knows.
    """

    code = "provider_error"
    status = 502
    title = "The provider gave no answer"

    def __init__(
        self,
        message: str,
        *,
        retry_after: int | None = None,
        credits: float | None = None,  # noqa: A002 - as everywhere
        **extra: Any,
    ) -> None:
        super().__init__(message, retry_after=retry_after, **extra)
        self.credits = credits


class Throttled(ProviderError):
    """The provider says "too fast" (HTTP 429). Our limits should have prevented it."""

    code = "provider_throttled"


class Limited(Throttled):
    """The provider answered this one row with "limited", which some take as throttling.

    The call was answered and may have cost money, so it spends an attempt, unlike a 429: a row that
    is "limited" for ever ends after the attempt cap. It says nothing sure about the key.
    """

    code = "provider_limited"


class Unavailable(ProviderError):
    """No usable answer: no connection, no time left, a 5xx, or a body that makes no sense."""

    code = "provider_unavailable"


class NotReady(Unavailable):
    """The call was not answered because the client had to renew its access first.

    The reserved moment has gone by; reserve another one. It spends no attempt and cannot go on
    for ever: access that is refused although it is new raises `Unauthorized`.
    """

    code = "provider_not_ready"


class StillLooking(Unavailable):
    """The provider has taken the question but has no answer yet, and will not call back (HTTP 202).

    Asking again is what it wants. It spends an attempt, so that a row which is looked for without end has
    one, and says nothing against the key.
    """

    code = "provider_still_looking"


class Rejected(ProviderError):
    """The provider refuses this request as such; sending it again changes nothing."""

    code = "provider_rejected"


class Unauthorized(ProviderError):
    """The key is wrong, disabled or out of credit: the key's problem, not the row's."""

    code = "provider_unauthorized"


class OutOfCredit(Unauthorized):
    """The key is right, but its plan is used up until the vendor's next billing period or a purchase.

    It is not throttling, whatever status it comes with: nothing that is paced in seconds brings it back, so
    the key rests as a refused one does, and other keys are used meanwhile.
    """

    code = "provider_out_of_credit"


class KeyEffect(StrEnum):
    """What an error does to the health of the key that was used."""

    NONE = "none"
    #: Push the key out by `retry_after` and widen its spacing.
    SLOW_DOWN = "slow_down"
    #: One of the failures that together open the key's circuit.
    FAILURE = "failure"
    #: Open the key's circuit at once.
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Policy:
    """What follows from an error: try again?, spend one of the item's attempts?, the key's health."""

    retry: bool
    counts_attempt: bool
    key_effect: KeyEffect


#: Waiting never spends the retry budget (429, a bad key); trying does. The nearest base class counts.
POLICIES: dict[type[ProviderError], Policy] = {
    Throttled: Policy(retry=True, counts_attempt=False, key_effect=KeyEffect.SLOW_DOWN),
    Limited: Policy(retry=True, counts_attempt=True, key_effect=KeyEffect.NONE),
    Unavailable: Policy(retry=True, counts_attempt=True, key_effect=KeyEffect.FAILURE),
    NotReady: Policy(retry=True, counts_attempt=False, key_effect=KeyEffect.NONE),
    StillLooking: Policy(retry=True, counts_attempt=True, key_effect=KeyEffect.NONE),
    Rejected: Policy(retry=False, counts_attempt=True, key_effect=KeyEffect.NONE),
    Unauthorized: Policy(retry=True, counts_attempt=False, key_effect=KeyEffect.OPEN),
    OutOfCredit: Policy(retry=True, counts_attempt=False, key_effect=KeyEffect.OPEN),
}


def policy_of(error: ProviderError) -> Policy:
    """Return what follows from `error`. Raises `KeyError` for a kind that the table does not know."""
    for kind in type(error).__mro__:
        if kind in POLICIES:
            return POLICIES[kind]
    raise KeyError(type(error).__name__)
