"""What an enrichment provider gives to the rest of Laneway: one interface, answers in order.

A provider is a class in `app/enrichment/providers/`; it raises only the errors of `app.provider_errors`. It
keeps no limits: a call was reserved before `look_up`, which makes at most that one. Whoever needs several about a lead is
a `StepwiseProvider`, and each is reserved. A miss is an answer, paid or not; an error never is one.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeGuard, runtime_checkable

from app.enrichment.lookup import Answer, Kind, Lookup
from app.provider_errors import ProviderError, Rejected

Outcome = Answer | ProviderError


class EnrichmentProvider(Protocol):
    """Asks one vendor about one lead, or a few at once."""

    @property
    def name(self) -> str:
        """The provider's name as `api_keys.provider`, findings and settings carry it."""

    @property
    def max_batch(self) -> int:
        """How many lookups one call may hold, 1 or more."""

    @property
    def finds(self) -> frozenset[Kind]:
        """The kinds of fields that it can find. Asking for none of them is a waste of a call."""

    def needs(self, lookup: Lookup) -> str | None:
        """Say what is missing of `lookup` for a question to make sense; None when it can be asked.

        The text is a sentence for people and holds nothing of the lookup.
        """

    async def look_up(
        self, lookups: Sequence[Lookup], key_secret: str, *, callback_url: str | None = None
    ) -> list[Outcome]:
        """Ask about 1 to `max_batch` lookups in one call at most; outcomes in their order.

        Raises `ProviderError` for the whole call; what went wrong with one row only is its element. A row that
        `needs` something is not sent, its element is `Rejected`. `callback_url` is where the vendor may call
        later, and must name this request in a way that nobody can guess (`signatures.make_token`); without one
        nothing is pending. Raises `ValueError` for too many lookups or none.
        """


@runtime_checkable
class LateProvider(EnrichmentProvider, Protocol):
    """A provider some of whose answers come later, in a call of the vendor."""

    def read_callback(self, body: bytes, asked: Mapping[str, Lookup]) -> dict[str, Outcome]:
        """Read the vendor's later call, whose signature or token was verified before.

        `asked` has the lookups that still wait, by `Answer.pending`. What the call says nothing about is not in
        the result, nor is what was not asked. A row that is `pending` again has more to come in another call; which
        kinds, is asked by reading the same body for each by itself. Raises `Unavailable` for a body that makes no sense.
        """


@runtime_checkable
class StepwiseProvider(EnrichmentProvider, Protocol):
    """A provider that may need several calls about one lead: `look_up` makes the first, `go_on` each further one.

    Each call has a turn of a key, and an attempt on record, of its own. An answer with a `next_step` is none yet: `go_on`
    follows with it, at once or by a later lease, in another process. Its `max_batch` is 1.
    """

    @property
    def most_calls(self) -> int:
        """How many calls there may be about a lead: so much longer others with the same question wait for its answer."""

    async def go_on(self, lookup: Lookup, key_secret: str, step: str) -> Outcome:
        """Make the call that an answer about this lookup named, one at most. Raises `ProviderError`.

        A step that this version does not know, as after an update, begins with the first call.
        """


#: What is known of classes: `isinstance` of a protocol looks for each of its members by name, every time, which cost a lead more
#: than anything else that is computed for it.
_FOLLOWS: dict[tuple[type, type], bool] = {}


def is_late(provider: EnrichmentProvider) -> TypeGuard[LateProvider]:
    """Tell whether some of a provider's answers come later."""
    return _follows(provider, LateProvider)


def is_stepwise(provider: EnrichmentProvider) -> TypeGuard[StepwiseProvider]:
    """Tell whether a provider may need several calls about one lead."""
    return _follows(provider, StepwiseProvider)


def _follows(provider: EnrichmentProvider, protocol: type) -> bool:
    key = (type(provider), protocol)
    if key not in _FOLLOWS:
        _FOLLOWS[key] = isinstance(provider, protocol)
    return _FOLLOWS[key]


async def ask(
    provider: EnrichmentProvider,
    lookups: Sequence[Lookup],
    key_secret: str,
    *,
    step: str | None,
    callback_url: str | None,
) -> list[Outcome]:
    """Make the call that is next: the one that `step` names, None for the first. Raises as `look_up`."""
    if step is not None and is_stepwise(provider):
        (lookup,) = lookups
        return [await provider.go_on(lookup, key_secret, step)]
    return await provider.look_up(lookups, key_secret, callback_url=callback_url)


def only(provider: EnrichmentProvider, lookups: Sequence[Lookup]) -> Lookup:
    """Return the one lookup that a provider takes a call. Raises `ValueError` for several or none."""
    if len(lookups) != 1:
        raise ValueError(f"{provider.name} takes one of the lookups a call")
    return lookups[0]


def sendable(provider: EnrichmentProvider, lookups: Sequence[Lookup]) -> dict[int, Lookup]:
    """Return the lookups worth sending, by their place. Raises `ValueError` for too many or none."""
    if not 1 <= len(lookups) <= provider.max_batch:
        raise ValueError(f"{provider.name} takes 1 to {provider.max_batch} lookups a call")
    return {place: lookup for place, lookup in enumerate(lookups) if provider.needs(lookup) is None}


def in_order(
    provider: EnrichmentProvider, lookups: Sequence[Lookup], outcomes: Mapping[int, Outcome]
) -> list[Outcome]:
    """Put outcomes back into the order of the lookups, with `Rejected` for those that were not sent."""
    return [
        outcomes[place] if place in outcomes else Rejected(provider.needs(lookup) or "Not asked.")
        for place, lookup in enumerate(lookups)
    ]
