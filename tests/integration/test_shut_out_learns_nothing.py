"""Who was remembered and has been shut out, or may do less, is told nothing of the client: no count, no limit, nothing of a body."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from app.accounts.tokens import issue_token
from app.accounts.users import get_account
from app.db.scope import system_scope
from app.http import callers
from app.jobs.together import together
from app.settings import get_settings
from tests.factories import Tenant, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web
from tests.integration.test_enrichment_api import PATH, SINGLE
from tests.integration.test_jobs_together import held_up, stuck, wait_until
from tests.integration.test_remembered_callers import borrowed, jobs_of, program, shut_out

HEADERS = ("RateLimit", "RateLimit-Policy")


@pytest.fixture
def acme(web: Web) -> Tenant:
    return make_tenant()


@pytest.fixture
def ann(web: Web, acme: Tenant) -> Caller:
    return web.caller(make_person(acme))


@pytest.fixture
def robot(web: Web, ann: Caller) -> Caller:
    """A program that is remembered."""
    robot = program(web, ann)
    assert robot.post(PATH, json=SINGLE).status_code == 202
    return robot


@pytest.fixture
def three_a_minute(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The client may make three requests a minute."""
    monkeypatch.setenv("TENANT_LIMIT", "3 per minute")
    get_settings.cache_clear()
    yield
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.mark.usefixtures("three_a_minute")
def test_that_the_client_may_make_no_more_requests(ann: Caller, robot: Caller) -> None:
    while (answer := robot.post(PATH, json=SINGLE)).status_code == 202:
        pass
    assert answer.status_code == 429
    assert answer.headers["RateLimit-Policy"] == '"client";q=3;w=60'
    shut_out(ann, "revoked")
    answer = robot.post(PATH, json=SINGLE)
    assert answer.status_code == 401
    assert not set(HEADERS) & set(answer.headers.keys())


def test_which_methods_there_are_is_told_without_the_clients_count(
    ann: Caller, robot: Caller
) -> None:
    shut_out(ann, "revoked")
    answer = robot.call("OPTIONS", PATH)
    assert answer.status_code == 200
    assert not set(HEADERS) & set(answer.headers.keys())


def test_who_is_no_clients_any_more_is_not_told_the_former_ones_count(ann: Caller) -> None:
    assert ann.person
    assert ann.post(PATH, json=SINGLE).status_code == 202
    owner_sql(
        "UPDATE users SET tenant_id = NULL, role = 'operator' WHERE id = :u", {"u": ann.person.id}
    )
    answer = ann.post(PATH, json=SINGLE)
    assert answer.status_code == 409
    assert not set(HEADERS) & set(answer.headers.keys())


@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_token_that_is_revoked_while_its_request_waits_makes_no_job(
    web: Web, acme: Tenant, ann: Caller, robot: Caller, is_remembered: bool
) -> None:
    bob = web.caller(make_person(acme))
    assert bob.post(PATH, json=SINGLE).status_code == 202
    if not is_remembered:
        callers.forget(callers.token_of(robot.headers["Authorization"]))
    with ThreadPoolExecutor(2) as pool:
        with held_up(acme):
            first = pool.submit(bob.post, PATH, json=SINGLE)
            wait_until(lambda: stuck() == 1)
            waits = pool.submit(robot.post, PATH, json=SINGLE)
            wait_until(lambda: len(together._waiting[acme.id]) == 1)
            shut_out(ann, "revoked")
        assert first.result().status_code == 202
        assert waits.result().status_code == 401
    assert jobs_of(acme) == 3


def test_a_token_that_is_known_to_be_void_is_forgotten(ann: Caller, robot: Caller) -> None:
    """So it does not count for the client any more, and the ledger is not asked for a job."""
    shut_out(ann, "revoked")
    assert robot.post(PATH, json=SINGLE).status_code == 401
    with borrowed() as taken:
        assert robot.post(PATH, json=SINGLE).status_code == 401
    assert len(taken) == 1


def test_no_key_is_looked_at_for_who_was_shut_out(ann: Caller, robot: Caller) -> None:
    """A key that was claimed and given back would have been refused to others meanwhile."""
    shut_out(ann, "revoked")
    with borrowed() as taken:
        answer = robot.post(PATH, json=SINGLE, headers={"Idempotency-Key": str(uuid4())})
    assert (answer.status_code, len(taken)) == (401, 1)


def test_only_so_many_are_remembered(
    web: Web, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "MOST_REMEMBERED", 2)
    for _ in range(5):
        assert web.caller(make_person(acme)).post(PATH, json=SINGLE).status_code == 202
        assert len(callers._remembered) <= 2


def test_a_scope_that_was_taken_away_is_gone_at_once(
    acme: Tenant, ann: Caller, robot: Caller
) -> None:
    assert ann.person
    owner_sql(
        "UPDATE api_tokens SET scopes = '{jobs:read}' WHERE user_id = :u", {"u": ann.person.id}
    )
    assert [robot.post(PATH, json=SINGLE).status_code for _ in range(2)] == [403, 403]
    assert jobs_of(acme) == 1


def test_an_access_token_that_ends_makes_no_job(
    acme: Tenant, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = web.caller(make_person(acme))
    assert bob.person
    with system_scope() as connection:
        account = get_account(connection, bob.person.id)
    assert account
    bob.headers = {"Authorization": f"Bearer {issue_token(account)[0]}"}
    assert bob.post(PATH, json=SINGLE).status_code == 202
    now = time.time()
    ends = now + get_settings().access_token_minutes * 60
    monkeypatch.setattr("app.accounts.tokens.time.time", lambda: ends)
    assert bob.post(PATH, json=SINGLE).status_code == 401
    assert jobs_of(acme) == 1


@pytest.mark.parametrize("scheme", ["Bearer  ", "bearer ", "BEARER    "])
def test_a_token_counts_as_the_same_however_it_is_sent(
    ann: Caller, robot: Caller, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("API_LIMIT", "2 per minute")
    get_settings.cache_clear()
    try:
        for caller in (ann, robot):
            while caller.get("/api/tokens").status_code != 429:
                pass
            token = caller.headers["Authorization"].partition(" ")[2]
            sent = {"Authorization": f"{scheme}{token}"}
            assert caller.get("/api/tokens", headers=sent).status_code == 429
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
