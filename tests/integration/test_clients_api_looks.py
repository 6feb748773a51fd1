"""What operators see of clients over the API: the list, a worker's environment, the message, the audit."""

from collections.abc import Iterator

import pytest

from tests.factories import (
    Person,
    Tenant,
    make_job,
    make_person,
    make_worker,
)
from tests.integration.clients_api_world import (
    SECRET,
    a_client,
    an_operator,
    onboard,
    queue_of,
)
from tests.integration.http_world import Caller, Web


@pytest.fixture
def acme() -> Tenant:
    return a_client()


@pytest.fixture
def person(acme: Tenant) -> Person:
    return make_person(acme)


@pytest.fixture
def operator(web: Web, capfd: pytest.CaptureFixture[str]) -> Iterator[Caller]:
    yield from an_operator(web, capfd)


def test_clients_are_listed_with_their_lane_work_and_keys(
    operator: Caller, acme: Tenant, person: Person
) -> None:
    onboard(operator, person)
    make_worker(queue_of(acme))
    make_job(acme, 10, chunk_rows=10)
    [row] = [
        row for row in operator.get("/api/clients").json["clients"] if row["slug"] == acme.slug
    ]
    assert (row["lane"]["workers"], row["work"]["ready"], row["keys"]) == (1, 1, 1)
    assert row["work"]["open_jobs"] == 1
    missing = operator.get("/api/clients/no-such-client")
    assert (missing.status_code, missing.json["code"]) == (404, "not_found")


@pytest.mark.parametrize("kind", ["env", "procfile", "compose", "kubernetes"])
def test_what_a_worker_is_started_with_names_keys_by_their_end(
    operator: Caller, acme: Tenant, person: Person, kind: str
) -> None:
    onboard(operator, person)
    path = f"/api/clients/{acme.slug}/worker"
    answer = operator.get(path, query_string={"format": kind, "keys": "environment"})
    assert answer.json["format"] == kind
    assert queue_of(acme) in answer.json["text"]
    assert str(acme.id) in answer.json["text"]
    assert SECRET not in answer.text
    assert operator.get(path, query_string={"format": "toml"}).status_code == 422


def test_a_client_without_a_lane_has_no_worker(operator: Caller, acme: Tenant) -> None:
    assert operator.get(f"/api/clients/{acme.slug}/worker").status_code == 409


def test_the_message_tells_the_client_its_figures(
    operator: Caller, acme: Tenant, person: Person
) -> None:
    onboard(operator, person)
    message = operator.get(f"/api/clients/{acme.slug}/message").json["text"]
    assert message.startswith("Subject: ")
    assert "345,600" in message
    assert SECRET not in message


def test_the_audit_is_paged_newest_first(operator: Caller, acme: Tenant) -> None:
    for weight in (2, 3, 4):
        operator.call("PATCH", f"/api/clients/{acme.slug}", json={"weight": weight})
    first = operator.get("/api/audit", query_string={"limit": 2}).json
    assert [event["details"]["weight"] for event in first["events"]] == [[3, 4], [2, 3]]
    rest = operator.get(
        f"/api/clients/{acme.slug}/history",
        query_string={"limit": 2, "cursor": first["next_cursor"]},
    ).json
    assert [event["details"]["weight"] for event in rest["events"]] == [[1, 2]]
    assert rest["next_cursor"] is None
    odd = operator.get("/api/audit", query_string={"cursor": "odd"})
    assert odd.status_code == 422
