"""The list of clients: searched and paged over the API, on the page and on the command line, with what was answered before."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.factories import make_lane, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web

MANY = 60


@pytest.fixture(scope="module")
def clients(web: Web) -> None:
    """Two that can be told apart by everything, among many."""
    acme, birch = make_tenant("acme"), make_tenant("birch-gmbh")
    make_lane(make_person(acme, email="ann@roadrunner.example"), "verification-queue:client-coyote")
    make_person(acme, email="bob@roadrunner.example")
    make_person(birch, email="eve@forest.example")
    owner_sql("UPDATE tenants SET name = 'Ünïcode & 100% Söhne' WHERE slug = 'birch-gmbh'")
    owner_sql(
        """INSERT INTO tenants (slug, name) SELECT 'm-' || n, 'Mass ' || n
           FROM generate_series(100, 99 + CAST(:many AS integer)) n""",
        {"many": MANY},
    )


@pytest.fixture
def operator(web: Web, clients: None) -> Caller:
    return web.caller(make_person(role="operator"))


def listed(operator: Caller, **query: Any) -> list[str]:
    answer = operator.get("/api/clients", query_string=query)
    assert answer.status_code == 200, answer.text
    return [client["slug"] for client in answer.json["clients"]]


def test_without_a_limit_all_are_listed_as_before(operator: Caller) -> None:
    answer = operator.get("/api/clients").json
    slugs = [client["slug"] for client in answer["clients"]]
    assert len(slugs) == MANY + 2
    assert slugs == sorted(slugs)
    assert answer["next_cursor"] is None


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("acme", ["acme"]),
        (" ACME ", ["acme"]),
        ("coyote", ["acme"]),
        ("verification-queue:client-coyote", ["acme"]),
        ("roadrunner", ["acme"]),
        ("EVE@forest", ["birch-gmbh"]),
        ("ünïcode", ["birch-gmbh"]),
        ("100%", ["birch-gmbh"]),
        ("%", ["birch-gmbh"]),
        ("m-1_", []),
        ("nobody", []),
        ("Mass 10", [f"m-10{n}" for n in range(10)]),
    ],
)
def test_any_part_of_what_people_know_finds_a_client(
    operator: Caller, search: str, found: list[str]
) -> None:
    assert listed(operator, q=search) == found


def pages(operator: Caller, **query: Any) -> Iterator[list[str]]:
    cursor = None
    while True:
        asked = query | ({"cursor": cursor} if cursor else {})
        answer = operator.get("/api/clients", query_string=asked).json
        yield [client["slug"] for client in answer["clients"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            return


@pytest.mark.parametrize(("limit", "sizes"), [(25, [25, 25, 12]), (31, [31, 31]), (62, [62])])
def test_pages_come_one_after_the_other(operator: Caller, limit: int, sizes: list[int]) -> None:
    found = list(pages(operator, limit=limit))
    assert [len(page) for page in found] == sizes
    assert [slug for page in found for slug in page] == listed(operator)


def test_a_client_that_comes_or_goes_between_two_pages_shifts_nothing(operator: Caller) -> None:
    first = operator.get("/api/clients", query_string={"q": "m-", "limit": 2}).json
    assert [client["slug"] for client in first["clients"]] == ["m-100", "m-101"]
    newcomer = make_tenant("m-000")
    owner_sql("DELETE FROM tenants WHERE slug = 'm-101'")
    try:
        asked = {"q": "m-", "limit": 1, "cursor": first["next_cursor"]}
        assert listed(operator, **asked) == ["m-102"]
    finally:
        owner_sql("DELETE FROM tenants WHERE id = :t", {"t": newcomer.id})
        owner_sql("INSERT INTO tenants (slug, name) VALUES ('m-101', 'Mass 101')")


@pytest.mark.parametrize(
    "wrong",
    [{"limit": 0}, {"limit": 501}, {"cursor": "odd"}, {"cursor": "YzoA"}, {"q": "\0"}, {"page": 2}],
)
def test_what_is_no_page_is_refused(operator: Caller, wrong: dict[str, Any]) -> None:
    assert operator.get("/api/clients", query_string=wrong).status_code == 422


def test_the_page_has_fifty_and_a_way_on(web: Web, operator: Caller) -> None:
    assert operator.person
    browser = web.sign_in(operator.person)
    first = browser.get("/clients").text
    assert first.count('class="client-name"') == 50
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    assert "First page" not in first
    second = browser.get(following[1].replace("&amp;", "&")).text
    assert second.count('class="client-name"') == 12
    assert "First page" in second
    assert 'rel="next"' not in second
    found = browser.get("/clients", query_string={"q": "<coyote>"}).text
    assert "&lt;coyote&gt;" in found
    assert "No client matches" in found
    assert browser.get("/clients", query_string={"q": "\0"}).status_code == 200
    assert browser.get("/clients", query_string={"q": "coyote"}).text.count("client-name") == 1


def test_the_command_searches_and_goes_on(web: Web, clients: None) -> None:
    cli = web.app.test_cli_runner()

    def slugs(*options: str) -> list[str]:
        result = cli.invoke(args=["clients", "list", *options])
        assert result.exit_code == 0, result.output
        return [line.partition("\t")[0] for line in result.output.splitlines()]

    assert len(slugs()) == MANY + 2
    assert slugs("--search", "coyote") == ["acme"]
    assert slugs("--limit", "2", "--after", "m-105") == ["m-106", "m-107"]
