"""From what somebody asked for to a job: its leads, its chunks, one transaction.

What is wrong with a request is said before there is a job, for every lead by its name. Leads are kept in normal form.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from app.enrichment.costs import cheapest_first
from app.enrichment.leads import FIELDS
from app.enrichment.lookup import Kind, Person
from app.enrichment.providers import check_chain
from app.errors import InvalidInput, Misconfigured
from app.jobs.submit import create_job, cut_chunks, verifier_params
from app.settings import Settings

#: Leads of one request; longer lists are uploaded.
MOST_LEADS: Final = 1_000
_ADD = text("SELECT add_leads(:job, CAST(:leads AS json))")
_CHAIN = text(
    "SELECT enrichment_chain, enrichment_cheapest_first FROM tenants WHERE id = laneway_tenant()"
)


@dataclass(frozen=True)
class Order:
    """What all kinds of jobs may say of themselves. `max_retries` after the first attempt of each row."""

    priority: int = 3
    tags: Sequence[str] = ()
    webhook_url: str | None = None
    max_retries: int = 3
    scheduled_for: datetime | None = None
    title: str = ""


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


def create_lookup_job(
    connection: Connection,
    kind: str,
    leads: Sequence[Mapping[str, str]],
    wish: Wish,
    order: Order,
    *,
    settings: Settings,
    created_by: UUID | None,
) -> UUID:
    """Make a job that looks leads up, inside the tenant's scope; the caller commits. `leads` are in normal form."""
    params = lookup_params(connection, wish, settings)
    return _create(
        connection, (kind, "enrich"), leads, params, order, settings=settings, created_by=created_by
    )


def create_validation_job(
    connection: Connection,
    emails: Sequence[str],
    order: Order,
    *,
    settings: Settings,
    created_by: UUID | None,
    verifier: str | None = None,
) -> UUID:
    """Make a job that verifies addresses, as `create_lookup_job`; `verifier` None: with the usual provider."""
    leads = [{"email": email} for email in emails]
    kinds = ("email_validation", "verify")
    params = verifier_params(connection, verifier, settings)
    return _create(
        connection, kinds, leads, params, order, settings=settings, created_by=created_by
    )


def _create(
    connection: Connection,
    kinds: tuple[str, str],
    leads: Sequence[Mapping[str, str]],
    params: Mapping[str, Any],
    order: Order,
    *,
    settings: Settings,
    created_by: UUID | None,
) -> UUID:
    """Make a job of the first kind with chunks of the second."""
    kind, chunk_kind = kinds
    job_id = create_job(
        connection,
        kind=kind,
        title=order.title,
        params=params,
        created_by=created_by,
        priority=order.priority,
        tags=order.tags,
        webhook_url=order.webhook_url,
        scheduled_for=order.scheduled_for,
        max_retries=order.max_retries,
    )
    connection.execute(_ADD, {"job": job_id, "leads": json.dumps([dict(lead) for lead in leads])})
    cut_chunks(connection, job_id, chunk_kind, len(leads), settings.chunk_rows)
    return job_id
