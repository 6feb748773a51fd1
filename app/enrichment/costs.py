"""What a look-up costs at each provider, and a chain ordered by it: cheapest first.

In credits of each vendor for a lead that is found; a miss costs nothing, but at MailTester as much as its last address. A credit of one vendor is not worth one
of another's: an installation that knows its prices says them in ENRICHMENT_COSTS, in whatever money.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from app.enrichment.lookup import Kind
from app.enrichment.providers import PROVIDERS
from app.enrichment.providers.mailtester_addresses import MOST
from app.errors import Misconfigured

#: By provider, what any look-up costs, and by `provider.kind` what a kind costs more where it is wanted. Sources, read in 2026:
#: - apollo: docs.apollo.io/docs/api-pricing: a credit a contact, one more with an e-mail, one more with a telephone number.
#:   Plans differ.
#: - hunter: help.hunter.io, "Hunter's Credit System": a credit an e-mail found; what else the answer holds is free.
#: - mailtester: a verification for each address that is tried (docs/enrichment.md), found or not: eight at most, and that is said.
#: - clearbit: one look-up of the plan, whatever the answer holds. Legacy, and no longer sold.
CREDITS: Final[Mapping[str, float]] = {
    "apollo": 1.0,
    "apollo.email": 1.0,
    "apollo.phone": 1.0,
    "hunter": 1.0,
    "mailtester": float(MOST),
    "clearbit": 1.0,
}


def cheapest_first(
    chain: Sequence[str], wanted: Iterable[Kind], costs: Mapping[str, float]
) -> tuple[str, ...]:
    """Return the chain ordered by what these kinds cost together; of equal ones the order stays.

    `costs` (ENRICHMENT_COSTS) goes before the table; of whom nothing is known comes last. Raises `Misconfigured` where it names
    what there is not.
    """
    _check(costs)
    known, kinds = {**CREDITS, **costs}, list(wanted)

    def cost(provider: str) -> float:
        if provider not in known:
            return float("inf")
        return known[provider] + sum(known.get(f"{provider}.{kind.value}", 0.0) for kind in kinds)

    return tuple(sorted(chain, key=cost))


def _check(costs: Mapping[str, float]) -> None:
    names = {*PROVIDERS, *(f"{name}.{kind.value}" for name in PROVIDERS for kind in Kind)}
    if strange := sorted(set(costs) - names):
        raise Misconfigured(
            f"ENRICHMENT_COSTS: there is no {strange[0]!r}; a name is a provider ({', '.join(sorted(PROVIDERS))}) "
            f"or a provider and a kind, as apollo.phone ({', '.join(kind.value for kind in Kind)})."
        )
