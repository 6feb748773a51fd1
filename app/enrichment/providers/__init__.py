"""The registry of enrichment providers: one line a vendor, and the chain that the settings name.

A new vendor is a module beside this one and a line in `PROVIDERS`; nothing else looks at a vendor's name.
"""

from collections.abc import Callable, Mapping
from typing import Final

import aiohttp

from app.enrichment.provider import EnrichmentProvider
from app.enrichment.providers.apollo import Apollo
from app.enrichment.providers.clearbit import Clearbit
from app.enrichment.providers.hunter import Hunter
from app.errors import Misconfigured
from app.settings import Settings

Maker = Callable[[aiohttp.ClientSession, Settings], EnrichmentProvider]

#: How each vendor's client is made. The session is the process's own; a client never closes it.
PROVIDERS: Final[dict[str, Maker]] = {
    "apollo": Apollo.from_settings,
    "hunter": Hunter.from_settings,
    "clearbit": Clearbit.from_settings,
}


def build_chain(
    session: aiohttp.ClientSession,
    settings: Settings,
    *,
    providers: Mapping[str, Maker] | None = None,
) -> list[EnrichmentProvider]:
    """Make the clients that ENRICHMENT_CHAIN names, in its order: the first is asked first.

    Raises `Misconfigured` for a name that is not registered, or stands twice (a row would be paid for twice).
    """
    known = PROVIDERS if providers is None else providers
    chain = settings.enrichment_chain
    for name in chain:
        if name not in known:
            raise Misconfigured(
                f"ENRICHMENT_CHAIN names {name!r}; there are: {', '.join(sorted(known))}."
            )
    if len(set(chain)) < len(chain):
        raise Misconfigured("ENRICHMENT_CHAIN names a provider twice.")
    return [known[name](session, settings) for name in chain]
