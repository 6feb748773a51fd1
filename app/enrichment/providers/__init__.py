"""The registry of enrichment providers: one line a vendor, and what a chain of them may be.

A new vendor is a module beside this one and a line in `PROVIDERS`; nothing else looks at a vendor's name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp

from app.enrichment.lookup import Lookup
from app.enrichment.provider import EnrichmentProvider, Outcome
from app.enrichment.providers import apollo_answers, clearbit_answers
from app.enrichment.providers.apollo import Apollo
from app.enrichment.providers.clearbit import Clearbit
from app.enrichment.providers.hunter import Hunter
from app.enrichment.providers.mailtester import MailTesterFinder
from app.enrichment.signatures import verify_clearbit
from app.errors import InvalidInput
from app.settings import Settings

Maker = Callable[[aiohttp.ClientSession, Settings], EnrichmentProvider]

#: How each vendor's client is made. The session is the process's own; a client never closes it.
PROVIDERS: Final[dict[str, Maker]] = {
    "apollo": Apollo.from_settings,
    "hunter": Hunter.from_settings,
    "clearbit": Clearbit.from_settings,
    "mailtester": MailTesterFinder.from_settings,
}


@dataclass(frozen=True, slots=True)
class LateCalls:
    """How a vendor's later calls are read (`LateProvider.read_callback`), without its client: the web makes none.

    A vendor that signs says so in `signature_header`; `verify` is then asked with the header, the raw body and a key.
    """

    read: Callable[[bytes, Mapping[str, Lookup]], dict[str, Outcome]]
    signature_header: str | None = None
    verify: Callable[[str | None, bytes, str], bool] | None = None


#: Vendors some of whose answers come later.
LATE: Final[dict[str, LateCalls]] = {
    "apollo": LateCalls(apollo_answers.read_callback),
    "clearbit": LateCalls(clearbit_answers.read_callback, "X-Request-Signature", verify_clearbit),
}


def build_all(
    session: aiohttp.ClientSession,
    settings: Settings,
    *,
    providers: Mapping[str, Maker] | None = None,
) -> dict[str, EnrichmentProvider]:
    """Make every registered client, by name."""
    known = PROVIDERS if providers is None else providers
    return {name: make(session, settings) for name, make in known.items()}


def check_chain(
    chain: Sequence[str], *, providers: Mapping[str, Maker] | None = None
) -> tuple[str, ...]:
    """Return a chain of names that can be asked in this order. Raises `InvalidInput`.

    A name stands once: a lead would be paid for twice.
    """
    known = PROVIDERS if providers is None else providers
    for name in chain:
        if name not in known:
            raise InvalidInput(
                f"There is no provider {name!r}; there are: {', '.join(sorted(known))}."
            )
    if len(set(chain)) < len(chain):
        raise InvalidInput("A chain names each provider once.")
    if not chain:
        raise InvalidInput("A chain names at least one provider.")
    return tuple(chain)
