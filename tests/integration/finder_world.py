"""Somebody whose e-mail the MailTester finder looks for, as the sandbox knows her, and what is on record of the search."""

from typing import Any
from uuid import UUID

from app.enrichment.lookup import Person
from app.enrichment.providers.mailtester_addresses import candidates_of
from app.enrichment.submit import normal_lead
from tests.integration.lookup_world import Lookups

FINDER = ("mailtester",)


def anna(domain: str, ref: str = "x", **more: str) -> dict[str, str]:
    """Anna Smith at a domain, whose beginning says what the simulated vendor answers (`sandbox/outcomes.py`)."""
    known = {"first_name": "Anna", "last_name": "Smith", "domain": domain, **more}
    return normal_lead(ref, known)


def addresses(domain: str) -> list[str]:
    """The addresses that are tried of her, in order."""
    person = Person(first_name="Anna", last_name="Smith", domain=domain)
    return [candidate.email for candidate in candidates_of(person)]


def asked(lookups: Lookups) -> list[str]:
    """The addresses that arrived at the vendor, in order."""
    return [call["email"] for call in lookups.sandbox.calls() if call["provider"] == "mailtester"]


def steps(lookups: Lookups, job: UUID) -> list[tuple[str, str | None, float | None]]:
    """(outcome, code, credits) of every attempt, in order."""
    rows: list[dict[str, Any]] = lookups.world.rows(
        "SELECT outcome, code, credits FROM lookup_attempts WHERE job_id = :j ORDER BY id", j=job
    )
    return [(row["outcome"], row["code"], row["credits"]) for row in rows]
