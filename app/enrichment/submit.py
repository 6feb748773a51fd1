"""From what somebody asked for to what a job says of its look-ups: whom to ask, for what; and leads in normal form.

What is wrong with a request is said before there is a job, for every lead by its name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from app.enrichment.costs import cheapest_first
from app.enrichment.leads import FIELDS
from app.enrichment.lookup import Kind, Person
from app.enrichment.providers import check_chain
from app.errors import InvalidInput, Misconfigured
from app.settings import Settings

#: Leads of one request; longer lists are uploaded.
MOST_LEADS: Final = 1_000
_CHAIN = text(
    "SELECT enrichment_chain, enrichment_cheapest_first FROM tenants WHERE id = laneway_tenant()"
)


@dataclass(frozen=True)
class Wish:
    """What is wanted of leads. `provider` None: the client's chain; `cheapest_first` None: as the client's setting says."""

    wanted: Sequence[Kind]
    provider: str | None = None
    min_score: int = 0
    verifies: bool = False
    cheapest_first: bool | None = None


def chain_of(connection: Connection, wish: Wish, settings: Settings) -> tuple[str, ...]:
    """Return whom to ask, in order: who was named first, then the client's chain, else the installation's.

    The chain is ordered by what the look-up costs where the wish says so, or says nothing and the client's setting does.
    Raises `InvalidInput` for an unknown name, `Misconfigured` where ENRICHMENT_CHAIN or ENRICHMENT_COSTS has one.
    """
    own, is_usual = connection.execute(_CHAIN).one_or_none() or (None, False)
    try:
        usual = check_chain(own or settings.enrichment_chain)
    except InvalidInput as error:
        raise Misconfigured(f"ENRICHMENT_CHAIN: {error.message}") from error
    if is_usual if wish.cheapest_first is None else wish.cheapest_first:
        usual = cheapest_first(usual, wish.wanted, settings.enrichment_costs)
    if wish.provider is None:
        return usual
    named = check_chain([wish.provider])
    return (*named, *(name for name in usual if name not in named))


def lookup_params(connection: Connection, wish: Wish, settings: Settings) -> dict[str, Any]:
    """Return what a job's params say of its look-ups, as `Plan` reads them. Raises as `chain_of`."""
    params: dict[str, Any] = {
        "wanted": sorted(kind.value for kind in wish.wanted),
        "chain": chain_of(connection, wish, settings),
        "min_score": wish.min_score,
    }
    return {**params, "then": "verify"} if wish.verifies else params


def normal_lead(ref: str, known: Mapping[str, str]) -> dict[str, str]:
    """Return a lead as it is kept. Raises `InvalidInput` that names the lead and the field.

    One of which nothing is known is kept too: its row will say so, beside the answers of the others.
    """
    try:
        person = Person.of(**known)
    except InvalidInput as error:
        raise InvalidInput(f"The lead {ref!r}: {error.message}", field="payload") from error
    fields = {name: getattr(person, name) for name in FIELDS}
    return {"ref": ref, **{name: value for name, value in fields.items() if value}}
