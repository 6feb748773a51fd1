"""Cheapest first: by the job's word, by the client's setting, and against real simulated providers."""

from typing import Any

import pytest

from app.enrichment.lookup import Kind
from app.errors import Misconfigured
from tests.factories import make_person, make_tenant, owner_sql
from tests.integration.http_world import Web
from tests.integration.lookup_world import Lookups, lead

PATH = "/api/enrichment/jobs"


def test_the_cheapest_is_asked_first_and_the_dearer_only_where_it_found_nothing(
    lookups: Lookups,
) -> None:
    leads = (lead("found", "a"), lead("hunter.miss-apollo.found", "b"))
    job = lookups.submit(*leads, cheapest_first=True)
    assert lookups.run() == ["done"]
    assert sorted(lookups.attempts(job)) == [
        ("a", "hunter", "found", False),
        ("b", "apollo", "found", False),
        ("b", "hunter", "miss", False),
    ]


def test_without_being_asked_the_chain_stays(lookups: Lookups) -> None:
    job = lookups.submit(lead("found", "a"))
    lookups.run()
    assert lookups.attempts(job) == [("a", "apollo", "found", False)]


def test_a_client_s_setting_holds_where_the_job_says_nothing(lookups: Lookups) -> None:
    owner_sql("UPDATE tenants SET enrichment_cheapest_first = true")
    usual = lookups.submit(lead("found-1", "a"))
    other = lookups.submit(lead("found-2", "b"), cheapest_first=False)
    lookups.run()
    assert lookups.attempts(usual) == [("a", "hunter", "found", False)]
    assert lookups.attempts(other) == [("b", "apollo", "found", False)]


@pytest.mark.parametrize(
    ("wanted", "costs", "first"),
    [
        (Kind.COMPANY, {}, "apollo"),
        (Kind.EMAIL, {}, "hunter"),
        (Kind.EMAIL, {"hunter": 2.5}, "apollo"),
        (Kind.PHONE, {"apollo.phone": 0}, "apollo"),
    ],
)
def test_what_is_wanted_and_what_the_installation_pays_decide(
    lookups: Lookups, wanted: Kind, costs: dict[str, float], first: str
) -> None:
    job = lookups.submit(lead("found", "a"), wanted=[wanted], costs=costs, cheapest_first=True)
    assert _chain(job)[0] == first


def test_who_is_named_is_asked_before_the_cheapest(lookups: Lookups) -> None:
    chain = ("apollo", "hunter", "clearbit")
    job = lookups.submit(lead("found", "a"), chain=chain, provider="apollo", cheapest_first=True)
    assert _chain(job) == ["apollo", "hunter", "clearbit"]


@pytest.mark.parametrize("name", ["nobody", "apollo.fax", "apollo."])
def test_costs_of_what_there_is_not_are_refused(lookups: Lookups, name: str) -> None:
    with pytest.raises(Misconfigured, match="ENRICHMENT_COSTS"):
        lookups.submit(lead("found"), costs={name: 1}, cheapest_first=True)


def test_a_job_over_the_api_may_ask_for_it(web: Web) -> None:
    ann = web.caller(make_person(make_tenant()))
    payload: dict[str, Any] = {
        "leadId": "a",
        "enrichmentTypes": ["email"],
        "inputData": {"firstName": "Ann", "lastName": "Lee", "domain": "shop.example"},
    }
    body = {"type": "single_lead_enrichment", "payload": {**payload, "cheapestFirst": True}}
    made = ann.post(PATH, json=body)
    assert made.status_code == 202, made.json
    assert made.json
    assert _chain(made.json["id"]) == ["hunter", "apollo"]
    body["payload"] = {**payload, "cheapestFirst": "maybe"}
    refused = ann.post(PATH, json=body)
    assert refused.status_code == 422
    assert "cheapestFirst" in refused.text


def _chain(job: object) -> list[str]:
    chain = owner_sql("SELECT params -> 'chain' FROM jobs WHERE id = :j", {"j": job})
    assert isinstance(chain, list)
    return chain
