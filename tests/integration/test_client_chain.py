"""A client's own chain of look-up providers: set by command, over the API and on the page; the next job goes along it."""

import json
from collections.abc import Iterator

import pytest
from flask.testing import FlaskCliRunner
from sqlalchemy import text

from app.clients.setting_rules import check_settings
from app.db.scope import system_scope
from app.errors import InvalidInput
from tests.factories import Tenant, make_person, owner_sql
from tests.integration.clients_api_world import a_client, an_operator, history
from tests.integration.http_world import Caller, Web, form_token

LEAD = {
    "leadId": "1",
    "enrichmentTypes": ["email"],
    "inputData": {"fullName": "Ann Lee", "company": "Acme"},
}
JOB = {"type": "single_lead_enrichment", "payload": LEAD}


@pytest.fixture
def acme() -> Tenant:
    return a_client()


@pytest.fixture
def operator(web: Web, capfd: pytest.CaptureFixture[str]) -> Iterator[Caller]:
    yield from an_operator(web, capfd)


@pytest.fixture
def cli(web: Web) -> FlaskCliRunner:
    return web.app.test_cli_runner()


def chain_of_the_next_job(web: Web, acme: Tenant) -> list[str]:
    made = web.caller(make_person(acme)).post("/api/enrichment/jobs", json=JOB)
    assert made.status_code == 202, made.json
    chain = owner_sql(
        "SELECT params ->> 'chain' FROM jobs WHERE id = :j", {"j": (made.json or {})["id"]}
    )
    return list(json.loads(chain))


def test_the_command_shows_sets_and_empties_it(cli: FlaskCliRunner, web: Web, acme: Tenant) -> None:
    owner_sql("DELETE FROM api_keys")
    words = ["clients", "chain", acme.slug]
    usual = "as the installation: apollo,hunter"
    assert cli.invoke(args=words).output == f"client {acme.slug}: {usual}\n"
    said = cli.invoke(args=[*words, "Hunter, apollo"]).output
    assert f"{usual} -> hunter,apollo, from the next job on" in said
    assert "No key of hunter serves" in said
    assert chain_of_the_next_job(web, acme) == ["hunter", "apollo"]
    assert "it was so" in cli.invoke(args=[*words, "hunter,apollo"]).output
    assert "look-ups hunter,apollo" in cli.invoke(args=["clients", "show", acme.slug]).output
    cli.invoke(args=[*words, "hunter,mailtester"])
    assert chain_of_the_next_job(web, acme) == ["hunter", "mailtester"]
    cli.invoke(args=[*words, "hunter,apollo"])
    assert "hunter,apollo -> as the installation" in cli.invoke(args=[*words, "--default"]).output
    assert chain_of_the_next_job(web, acme) == ["apollo", "hunter"]
    told = cli.invoke(args=["clients", "history", acme.slug]).output
    assert "who is asked about a lead none → hunter, then apollo" in told
    assert "cli:" in told


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nobody",), 1, "apollo, clearbit, hunter"),
        (("hunter,hunter",), 1, "each provider once"),
        ((" , ",), 2, "at least one provider"),
        (("hunter", "--default"), 2, "not both"),
    ],
)
def test_what_is_no_chain_is_refused_with_what_there_is(
    cli: FlaskCliRunner, acme: Tenant, words: tuple[str, ...], code: int, said: str
) -> None:
    result = cli.invoke(args=["clients", "chain", acme.slug, *words])
    assert (result.exit_code, said in result.output) == (code, True)
    chain = owner_sql("SELECT enrichment_chain::text FROM tenants WHERE id = :t", {"t": acme.id})
    assert chain is None


def test_the_api_sets_tells_and_empties_it(operator: Caller, web: Web, acme: Tenant) -> None:
    path = f"/api/clients/{acme.slug}"
    assert operator.get(path).json["client"]["settings"]["enrichment_chain"] is None
    changed = operator.call("PATCH", path, json={"enrichment_chain": ["clearbit"]}).json
    assert changed["client"]["settings"]["enrichment_chain"] == ["clearbit"]
    assert "No key of clearbit serves" in changed["warnings"][0]
    assert chain_of_the_next_job(web, acme) == ["clearbit"]
    key = {"secret": "cb_abc123xyz789", "provider": "clearbit"}
    assert operator.post(f"{path}/keys", json={"keys": [key]}).status_code == 201
    assert operator.call("PATCH", path, json={"weight": 3}).json["warnings"] == []
    again = operator.call("PATCH", path, json={"enrichment_chain": ["clearbit", "hunter"]}).json
    assert [said.split()[3] for said in again["warnings"]] == ["hunter"]
    emptied = operator.call("PATCH", path, json={"enrichment_chain": None}).json
    assert emptied["client"]["settings"]["enrichment_chain"] is None
    changes = [event["details"] for event in history(operator, acme)]
    assert {"enrichment_chain": [["clearbit", "hunter"], None]} in changes
    for wrong in ([], ["nobody"], ["hunter", "hunter"], 5, [5]):
        assert operator.call("PATCH", path, json={"enrichment_chain": wrong}).status_code == 422
    listed = operator.get(f"/api/clients?q={acme.slug}").json["clients"]
    assert [client["settings"]["enrichment_chain"] for client in listed] == [None]


def test_it_is_set_on_the_clients_page(web: Web, acme: Tenant) -> None:
    browser = web.sign_in(make_person(role="operator"))
    page = browser.get(f"/clients/{acme.slug}").text
    assert "Empty: as the installation, apollo, hunter." in page
    form = {"csrf_token": form_token(page), "name": "Acme", "weight": "1"}
    form |= {"max_in_flight": "", "max_in_flight_per_job": "", "fallback_after_seconds": ""}
    form |= {"key_policy": "own_then_platform", "enrichment_chain": "hunter, clearbit"}
    url = f"/clients/{acme.slug}/settings"
    shown = browser.post(url, data=form, follow_redirects=True).text
    assert 'value="hunter, clearbit"' in shown
    assert chain_of_the_next_job(web, acme) == ["hunter", "clearbit"]
    wrong = browser.post(url, data=form | {"enrichment_chain": "moon"}, follow_redirects=True).text
    assert "There is no provider" in wrong
    emptied = browser.post(url, data=form | {"enrichment_chain": " "}, follow_redirects=True).text
    assert 'name="enrichment_chain" value=""' in emptied
    assert chain_of_the_next_job(web, acme) == ["apollo", "hunter"]


def test_the_order_is_set_by_command_and_told(cli: FlaskCliRunner, web: Web, acme: Tenant) -> None:
    words = ["clients", "chain", acme.slug]
    said = cli.invoke(args=[*words, "--cheapest-first"]).output
    usual = "as the installation: apollo,hunter"
    assert f"{usual} -> {usual}; cheapest first, from the next job on" in said
    # An e-mail is two credits at Apollo and one at Hunter.
    assert chain_of_the_next_job(web, acme) == ["hunter", "apollo"]
    assert f"{usual}; cheapest first" in cli.invoke(args=words).output
    shown = cli.invoke(args=["clients", "show", acme.slug]).output
    assert f"look-ups {usual}; cheapest first" in shown
    assert "it was so" in cli.invoke(args=[*words, "--cheapest-first"]).output
    both = cli.invoke(args=[*words, "apollo,hunter", "--as-listed"]).output
    assert "cheapest first -> apollo,hunter, from the next job on" in both
    assert chain_of_the_next_job(web, acme) == ["apollo", "hunter"]
    told = cli.invoke(args=["clients", "history", acme.slug]).output
    assert "cheapest first no → yes" in told
    assert "cheapest first yes → no" in told


def test_the_order_is_set_over_the_api_and_on_the_page(
    operator: Caller, web: Web, acme: Tenant
) -> None:
    path, name = f"/api/clients/{acme.slug}", "enrichment_cheapest_first"
    assert operator.get(path).json["client"]["settings"][name] is False
    changed = operator.call("PATCH", path, json={name: True}).json["client"]["settings"]
    assert (changed[name], changed["enrichment_chain"]) == (True, None)
    assert chain_of_the_next_job(web, acme) == ["hunter", "apollo"]
    assert {name: [False, True]} in [event["details"] for event in history(operator, acme)]
    assert operator.call("PATCH", path, json={name: "perhaps"}).status_code == 422
    browser = web.sign_in(make_person(role="operator"))
    page = browser.get(f"/clients/{acme.slug}").text
    assert '<option value="true" selected>Cheapest first' in page
    form = {"csrf_token": form_token(page), name: "false"}
    url = f"/clients/{acme.slug}/settings"
    page = browser.post(url, data=form, follow_redirects=True).text
    assert '<option value="true">Cheapest first' in page
    assert "cheapest first yes → no" in page
    assert chain_of_the_next_job(web, acme) == ["apollo", "hunter"]


@pytest.mark.parametrize("order", [None, 1, "true"])
def test_the_rules_take_nothing_but_an_order(order: object) -> None:
    with pytest.raises(InvalidInput):
        check_settings({"enrichment_cheapest_first": order})


@pytest.mark.parametrize("chain", ["hunter", [], [1], ["moon"], {"hunter": 1}])
def test_the_rules_take_nothing_but_a_chain(chain: object) -> None:
    with pytest.raises(InvalidInput):
        check_settings({"enrichment_chain": chain})


def test_what_the_history_says_of_the_order_was_done(web: Web, acme: Tenant) -> None:
    """It said so, and the row stayed as it was."""
    told = {"t": acme.id, "s": '{"enrichment_cheapest_first": true}'}
    with system_scope() as connection:
        changes = connection.execute(text("SELECT client_set(:t, CAST(:s AS jsonb))"), told)
        assert changes.scalar_one() == {"enrichment_cheapest_first": [False, True]}
    order = "SELECT enrichment_cheapest_first FROM tenants WHERE id = :t"
    assert owner_sql(order, {"t": acme.id}) is True
