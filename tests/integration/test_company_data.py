"""Company data over the API: what a client tells of a company says where to look, and is never what was found."""

from typing import Any

import pytest

from sandbox.process import RunningSandbox
from tests.factories import make_person, make_tenant, make_worker
from tests.integration.http_world import Caller, Web
from tests.integration.ledger_world import World
from tests.integration.lookup_world import KEY, Lookups

PATH = "/api/enrichment/jobs"
SKIPPED = {
    "apollo": "skipped: Apollo needs an e-mail, a LinkedIn address, or a name with the company.",
    "hunter": "skipped: Hunter needs a first and a last name.",
}


@pytest.fixture
def lookups(world: World, provider: RunningSandbox, module_redis_url: str) -> Lookups:
    provider.reset()
    provider.put_keys({"key": KEY})
    make_worker("enrichment", "enrichment-job-creation", "verification-queue", slots=16)
    return Lookups(world, provider, module_redis_url)


@pytest.fixture
def ann(lookups: Lookups, web: Web) -> Caller:
    tenant = make_tenant()
    lookups.world.tenants["acme"] = tenant.id
    return web.caller(make_person(tenant))


def look_up(
    ann: Caller, lookups: Lookups, kind: str, known: dict[str, str], **settings: Any
) -> dict[str, Any]:
    """Send one lead, have its chunk run, and return its row as the API tells it."""
    said = {"type": kind, "payload": {"leadId": "c1", "inputData": known}}
    answer = ann.post(PATH, json=said)
    assert answer.status_code == 202, answer.json
    assert answer.json
    assert lookups.run(**settings) == ["done"]
    told = ann.get(f"{PATH}/{answer.json['id']}/results").json
    assert told
    (row,) = told["results"]
    return dict(row)


@pytest.mark.parametrize(
    "known",
    [
        {"domain": "granitefern.example"},
        {"company": "Granite & Fern"},
        {"company": "Granite & Fern", "domain": "granitefern.example"},
    ],
)
@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("company_data_update", "company"),
        ("single_lead_enrichment", "e-mail, company, social profiles"),
    ],
)
def test_a_company_that_nobody_can_be_asked_about_is_not_found(
    ann: Caller, lookups: Lookups, kind: str, missing: str, known: dict[str, str]
) -> None:
    row = look_up(ann, lookups, kind, known)
    assert (row["verdict"], row["code"]) == ("not_found", "nobody_to_ask")
    assert row["message"].startswith(f"Not found: {missing}. Apollo needs an e-mail")
    assert row["data"] == {"fields": {}, "providers": SKIPPED}
    assert lookups.sandbox.summary()["calls"] == 0


@pytest.mark.parametrize(
    "known",
    [
        {"firstName": "Anna", "lastName": "found-Smith", "company": "Granite & Fern"},
        {"email": "found-anna@granitefern.example", "company": "Granite & Fern"},
        {"email": "found-anna@granitefern.example", "domain": "granitefern.example"},
    ],
)
@pytest.mark.parametrize("kind", ["company_data_update", "single_lead_enrichment"])
def test_company_data_is_what_a_provider_says_of_the_company(
    ann: Caller, lookups: Lookups, kind: str, known: dict[str, str]
) -> None:
    row = look_up(ann, lookups, kind, known)
    assert row["verdict"] == "found"
    fields = row["data"]["fields"]
    assert fields["company_industry"]["value"] == "retail"
    assert fields["company_country"]["provider"] == "apollo"


def test_a_provider_that_knows_nothing_of_the_company_has_not_found_it(
    ann: Caller, lookups: Lookups
) -> None:
    known = {"firstName": "Anna", "lastName": "miss-Smith", "company": "Granite & Fern"}
    row = look_up(ann, lookups, "company_data_update", known)
    assert (row["verdict"], row["data"]["fields"]) == ("not_found", {})
    assert row["data"]["providers"] == {"apollo": "miss", "hunter": "miss"}


def test_a_lead_known_by_its_profile_alone_is_found(ann: Caller, lookups: Lookups) -> None:
    known = {"linkedinUrl": "https://linkedin.example/in/morgan-sketch"}
    row = look_up(ann, lookups, "single_lead_enrichment", known)
    assert row["verdict"] == "found", row
    fields = row["data"]["fields"]
    assert fields["email"]["value"] == "morgan.sketch@morgansketch.example"
    assert fields["domain"]["value"] == "morgansketch.example"


def test_a_lead_without_an_answer_is_told_so(ann: Caller, lookups: Lookups) -> None:
    known = {"firstName": "Anna", "lastName": "error500-Smith", "domain": "acme.example"}
    row = look_up(ann, lookups, "single_lead_enrichment", known, retry_base_delay=1)
    assert row["verdict"] == "unknown"
    assert row["message"].startswith("No answer after 4 attempts: ")


def test_an_email_that_came_with_the_lead_is_given_and_not_found(
    ann: Caller, lookups: Lookups, web: Web
) -> None:
    known = {"firstName": "Anna", "lastName": "miss-Smith", "email": "anna@granitefern.example"}
    row = look_up(ann, lookups, "single_lead_enrichment", known)
    assert row["verdict"] == "not_found"
    assert row["message"] == "Not found: company, social profiles. Given: e-mail."
    assert row["data"]["given"] == {"email": "anna@granitefern.example"}
    assert row["data"]["fields"] == {}
    assert ann.person
    jobs = ann.get(PATH).json or {}
    page = web.sign_in(ann.person).get(f"/jobs/{jobs['jobs'][0]['id']}").text
    assert "given by you" in page
