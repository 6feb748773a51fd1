"""The MailTester finder on a chunk of leads: found at some step, never, not to be told; and how it gets on with others."""

import pytest

from app.enrichment.lookup import Kind
from tests.factories import make_person, make_tenant, owner_sql
from tests.integration.finder_world import FINDER, addresses, anna, asked, steps
from tests.integration.http_world import Web
from tests.integration.ledger_world import totals_agree
from tests.integration.lookup_world import Lookups, lead


@pytest.mark.parametrize(
    ("mailbox", "calls", "score"), [("anna.smith", 1, 95), ("anna", 3, 50), ("annas", 8, 80)]
)
def test_the_first_that_is_accepted_is_found_and_nothing_after_it_is_asked(
    lookups: Lookups, mailbox: str, calls: int, score: int
) -> None:
    domain = f"has-{mailbox}.shop.example"
    job = lookups.submit(anna(domain), chain=FINDER)
    assert lookups.run() == ["done"]
    row = lookups.results(job)["x"]
    email = row["data"]["fields"]["email"]
    assert (row["verdict"], row["provider"]) == ("found", "mailtester")
    assert (email["value"], email["score"]) == (f"{mailbox}@{domain}", score)
    assert asked(lookups) == addresses(domain)[:calls]
    assert [outcome for outcome, _, _ in steps(lookups, job)] == ["pending"] * (calls - 1) + [
        "found"
    ]
    assert {cost for _, _, cost in steps(lookups, job)} == {1}
    assert lookups.world.rows("SELECT 1 FROM lookup_attempts WHERE ms IS NULL") == []
    assert lookups.sandbox.summary()["charged"] == calls
    totals_agree(lookups.world, job)


def test_what_the_simulated_vendors_know_of_a_person_the_finder_finds_too(lookups: Lookups) -> None:
    job = lookups.submit(lead("found", "x"), chain=FINDER)
    assert lookups.run() == ["done"]
    found = lookups.results(job)["x"]["data"]["fields"]["email"]["value"]
    assert found == "anna.found-smith@acme.example"


def test_where_none_is_accepted_it_is_a_miss_and_remembered_as_one(lookups: Lookups) -> None:
    job = lookups.submit(anna("miss-shop.example"), chain=FINDER)
    assert lookups.run() == ["done"]
    row = lookups.results(job)["x"]
    assert (row["verdict"], row["is_failure"]) == ("not_found", False)
    assert asked(lookups) == addresses("miss-shop.example")
    assert steps(lookups, job)[-1] == ("miss", "none_accepted", 1)
    left = "SELECT expires_at - found_at < interval '8 days' FROM lookup_cache"
    assert owner_sql(left) is True
    again = Lookups(lookups.world, lookups.sandbox, lookups.redis_url)
    job = again.submit(anna("miss-shop.example", "y"), chain=FINDER)
    assert again.run() == ["done"]
    assert again.attempts(job) == [("y", "mailtester", "miss", True)]
    assert len(asked(lookups)) == 8
    # The reason is remembered too, by another process as well.
    assert again.results(job)["y"]["message"] == row["message"]
    assert "accepts none of the usual addresses" in row["message"]
    assert steps(lookups, job) == [("miss", "none_accepted", None)]


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("catchall", "catch_all", "The domain takes mail for any address"),
        ("nomx", "no_mx", "The domain takes no mail."),
        ("disposable", "disposable", "The domain hands out throw-away addresses."),
    ],
)
def test_what_holds_for_the_domain_is_a_miss_after_one_call_and_says_why(
    lookups: Lookups, word: str, code: str, said: str
) -> None:
    job = lookups.submit(anna(f"{word}-shop.example"), chain=FINDER)
    assert lookups.run() == ["done"]
    row = lookups.results(job)["x"]
    assert (row["verdict"], row["is_failure"]) == ("not_found", False)
    assert said in row["message"]
    assert row["data"]["providers"]["mailtester"].startswith(f"miss: {said}")
    assert row["data"]["fields"] == {}
    assert steps(lookups, job) == [("miss", code, 1)]


def test_a_catch_all_goes_on_to_the_next_of_the_chain(lookups: Lookups) -> None:
    domain = "mailtester.catchall-hunter.found-shop.example"
    job = lookups.submit(anna(domain), chain=("mailtester", "hunter"))
    assert lookups.run() == ["done"]
    row = lookups.results(job)["x"]
    assert (row["verdict"], row["provider"]) == ("found", "hunter")
    assert [who for _, who, _, _ in lookups.attempts(job)] == ["mailtester", "hunter"]


def test_who_came_before_ends_the_search_only_with_the_wanted_score(lookups: Lookups) -> None:
    """And an address of one name alone does not, where a surer one is wanted."""
    sure = anna("hunter.found-mailtester.has-anna.shop.example", "sure")
    unsure = anna("hunter.low-mailtester.has-anna.shop.example", "unsure")
    job = lookups.submit(sure, unsure, chain=("hunter", "mailtester"), min_score=90)
    assert lookups.run() == ["done"]
    rows = lookups.results(job)
    assert (rows["sure"]["verdict"], rows["sure"]["provider"]) == ("found", "hunter")
    assert (rows["unsure"]["verdict"], rows["unsure"]["provider"]) == ("partial", "mailtester")
    assert len(asked(lookups)) == 3


def test_what_is_no_verdict_is_no_miss_and_is_asked_again_later(lookups: Lookups) -> None:
    job = lookups.submit(anna("later1-shop.example"), chain=FINDER)
    assert lookups.run() == ["retry"]
    assert steps(lookups, job) == [("error", "provider_still_looking", 1)]
    (chunk,) = lookups.world.rows(
        "SELECT run_at > now() + interval '4 minutes' AS later FROM chunks"
    )
    assert chunk["later"], "a server that puts strangers off does so for minutes"
    assert lookups.results(job) == {}
    owner_sql("""UPDATE chunks SET run_at = now(), retries = '{"1": [1, 0, "an error"]}'""")
    assert lookups.run() == ["done"]
    assert lookups.results(job)["x"]["verdict"] == "found"
    assert asked(lookups) == addresses("later1-shop.example")[:1] * 2


def test_what_is_never_a_verdict_ends_as_unknown(lookups: Lookups) -> None:
    job = lookups.submit(anna("spamblock-shop.example"), chain=FINDER, max_retries=0)
    assert lookups.run() == ["done"]
    row = lookups.results(job)["x"]
    assert (row["verdict"], row["is_failure"], row["code"]) == (
        "unknown",
        True,
        "provider_still_looking",
    )
    assert owner_sql("SELECT count(*) FROM lookup_cache") == 0


def test_the_next_provider_is_asked_while_there_is_no_verdict(lookups: Lookups) -> None:
    domain = "mailtester.greylist-hunter.found-shop.example"
    job = lookups.submit(anna(domain), chain=("mailtester", "hunter"))
    assert lookups.run() == ["done"]
    assert lookups.results(job)["x"]["provider"] == "hunter"


def test_equal_questions_share_one_search(lookups: Lookups) -> None:
    twice = [anna("has-anna.shop.example", ref) for ref in ("a", "b")]
    job = lookups.submit(*twice, chain=FINDER)
    assert lookups.run() == ["done"]
    assert {row["verdict"] for row in lookups.results(job).values()} == {"found"}
    assert asked(lookups) == addresses("has-anna.shop.example")[:3]


def test_a_search_is_one_flight_from_its_first_call_to_its_last(lookups: Lookups) -> None:
    """Two chunks of one process, which know of each other by its memory alone."""
    lookups.sandbox.set_mode(latency_ms=[50, 50])
    jobs = [lookups.submit(anna("has-anna.shop.example"), chain=FINDER) for _ in range(2)]
    assert lookups.run(enrichment_flight_seconds=0) == ["done", "done"]
    assert asked(lookups) == addresses("has-anna.shop.example")[:3]
    assert {lookups.results(job)["x"]["verdict"] for job in jobs} == {"found"}


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"domain": "", "company": "Shop"}, "needs the company's domain"),
        ({"domain": "gmail.com"}, "mail service for everybody"),
        ({"first_name": "\u0418\u0432\u0430\u043d"}, "Latin letters"),
    ],
)
def test_who_cannot_be_looked_for_costs_nothing_and_is_told(
    lookups: Lookups, known: dict[str, str], why: str
) -> None:
    job = lookups.submit(anna(**{"domain": "shop.example", **known}), chain=FINDER)
    assert lookups.run() == ["done"]
    row = lookups.results(job)["x"]
    assert (row["verdict"], row["code"]) == ("unknown", "nobody_to_ask")
    assert why in row["message"]
    assert asked(lookups) == []


def test_it_is_asked_last_where_the_cheapest_is_asked_first(lookups: Lookups) -> None:
    chain = ("mailtester", "apollo", "hunter")
    job = lookups.submit(anna("found-shop.example"), chain=chain, cheapest_first=True)
    told = "SELECT params -> 'chain' FROM jobs WHERE id = :j"
    assert owner_sql(told, {"j": job}) == ["hunter", "apollo", "mailtester"]
    costs = {"mailtester": 0.01}
    job = lookups.submit(
        anna("found-shop.example"),
        chain=chain,
        cheapest_first=True,
        costs=costs,
        wanted=[Kind.EMAIL],
    )
    assert owner_sql(told, {"j": job}) == ["mailtester", "hunter", "apollo"]


def test_the_token_contract_serves_it_as_well(lookups: Lookups) -> None:
    job = lookups.submit(anna("has-asmith.shop.example"), chain=FINDER)
    settings = {
        "mailtester_contract": "token",
        "mailtester_token_url": f"{lookups.sandbox.url}/token",
    }
    assert lookups.run(**settings) == ["done"]
    assert lookups.results(job)["x"]["verdict"] == "found"
    # The turn that passed while the token was fetched is on record, and was no call.
    assert [outcome for outcome, _, _ in steps(lookups, job)] == ["error", "pending", "found"]
    assert len(asked(lookups)) == 2


def test_a_job_may_name_it_and_the_usual_chain_is_without_it(web: Web) -> None:
    ann = web.caller(make_person(make_tenant()))
    payload = {
        "leadId": "a",
        "providerId": "mailtester",
        "enrichmentTypes": ["email"],
        "inputData": {"firstName": "Ann", "lastName": "Lee", "domain": "shop.example"},
    }
    body = {"type": "single_lead_enrichment", "payload": payload}
    made = ann.post("/api/enrichment/jobs", json=body)
    assert made.status_code == 202, made.json
    chain = owner_sql("SELECT params -> 'chain' FROM jobs WHERE id = :j", {"j": made.json["id"]})
    assert chain == ["mailtester", "apollo", "hunter"]
