"""Who made a job a moment ago makes the next in one exchange with each server; who was shut out meanwhile makes none."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from limits.storage import RedisStorage
from sqlalchemy import event
from werkzeug.test import TestResponse

from app.db.engine import app_engine
from app.http import callers
from app.http.limits import limiter
from app.settings import get_settings
from tests.factories import Tenant, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web
from tests.integration.test_enrichment_api import PATH, SINGLE

TOKENS = "/api/tokens"
ENDS = {
    "revoked": "UPDATE api_tokens SET revoked_at = now() WHERE user_id = :u",
    "ended": "UPDATE api_tokens SET expires_at = now() WHERE user_id = :u",
    "deleted": "DELETE FROM api_tokens WHERE user_id = :u",
    "switched off": "UPDATE users SET is_active = false WHERE id = :u",
    "moved": "UPDATE users SET tenant_id = :other WHERE id = :u",
}


@pytest.fixture
def acme(web: Web) -> Tenant:
    return make_tenant()


@pytest.fixture
def ann(web: Web, acme: Tenant) -> Caller:
    return web.caller(make_person(acme))


def program(web: Web, ann: Caller, *scopes: str) -> Caller:
    said = {"name": "robot", "scopes": scopes or ["jobs:read", "jobs:write"]}
    token = (ann.post(TOKENS, json=said).json or {})["token"]
    robot = web.caller()
    robot.headers = {"Authorization": f"Bearer {token}"}
    return robot


@pytest.fixture(params=["person", "program"])
def known(request: pytest.FixtureRequest, web: Web, ann: Caller) -> Caller:
    """Somebody who has just made a job, with an access token or an API token."""
    caller = program(web, ann) if request.param == "program" else ann
    assert caller.post(PATH, json=SINGLE).status_code == 202
    return caller


def shut_out(ann: Caller, how: str) -> None:
    assert ann.person
    values = {"u": ann.person.id}
    owner_sql(ENDS[how], {**values, "other": make_tenant().id} if ":other" in ENDS[how] else values)


def jobs_of(tenant: Tenant) -> int:
    return int(owner_sql("SELECT count(*) FROM jobs WHERE tenant_id = :t", {"t": tenant.id}))


@contextmanager
def borrowed() -> Iterator[list[Any]]:
    """Collect how often a connection with the database is taken."""
    taken: list[Any] = []

    def note(*of: Any) -> None:
        taken.append(of)

    event.listen(app_engine(), "checkout", note)
    try:
        yield taken
    finally:
        event.remove(app_engine(), "checkout", note)


def scripts_run() -> int:
    storage = limiter.storage
    assert isinstance(storage, RedisStorage)
    said = storage.get_connection().info("commandstats").get("cmdstat_evalsha", {})
    return int(said.get("calls", 0))


def test_a_job_like_the_one_before_takes_one_exchange_with_each(known: Caller) -> None:
    # Redis is told the script with the first.
    assert known.post(PATH, json=SINGLE).status_code == 202
    before = scripts_run()
    with borrowed() as taken:
        assert known.post(PATH, json=SINGLE).status_code == 202
    assert len(taken) == 1
    assert scripts_run() == before + 1


def test_who_is_not_remembered_any_more_is_looked_up(
    known: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "REMEMBER_SECONDS", -1.0)
    callers.forget(known.headers["Authorization"].removeprefix("Bearer "))
    for _ in range(2):
        with borrowed() as taken:
            assert known.post(PATH, json=SINGLE).status_code == 202
        assert len(taken) == 2


@pytest.mark.parametrize("how", sorted(ENDS))
def test_a_program_that_was_shut_out_makes_no_job(
    web: Web, acme: Tenant, ann: Caller, how: str
) -> None:
    robot = program(web, ann)
    assert robot.post(PATH, json=SINGLE).status_code == 202
    shut_out(ann, how)
    answer = robot.post(PATH, json=SINGLE)
    assert answer.status_code == 401
    assert "RateLimit" not in answer.headers
    assert jobs_of(acme) == 1


@pytest.mark.parametrize("body", [b"{", b'{"type": "no such"}', b"[]"])
def test_who_was_shut_out_is_not_told_what_is_wrong_with_the_body(
    web: Web, ann: Caller, body: bytes
) -> None:
    robot = program(web, ann)
    assert robot.post(PATH, json=SINGLE).status_code == 202
    headers = {"Content-Type": "application/json"}
    assert robot.post(PATH, data=body, headers=headers).status_code in {400, 422}
    shut_out(ann, "revoked")
    assert robot.post(PATH, data=body, headers=headers).status_code == 401


def test_who_was_shut_out_claims_no_key(web: Web, acme: Tenant, ann: Caller) -> None:
    robot, key = program(web, ann), {"Idempotency-Key": str(uuid4())}
    assert robot.post(PATH, json=SINGLE).status_code == 202
    shut_out(ann, "revoked")
    assert robot.post(PATH, json=SINGLE, headers=key).status_code == 401
    assert (
        owner_sql("SELECT count(*) FROM idempotency_keys WHERE tenant_id = :t", {"t": acme.id}) == 0
    )


def test_another_password_ends_what_was_begun_with_the_old_one(acme: Tenant, ann: Caller) -> None:
    assert ann.person
    assert ann.post(PATH, json=SINGLE).status_code == 202
    owner_sql("UPDATE users SET password_hash = 'another' WHERE id = :u", {"u": ann.person.id})
    assert ann.post(PATH, json=SINGLE).status_code == 401
    assert jobs_of(acme) == 1


def test_who_is_with_another_client_now_makes_no_job_of_either(acme: Tenant, ann: Caller) -> None:
    assert ann.person
    other = make_tenant()
    assert ann.post(PATH, json=SINGLE).status_code == 202
    owner_sql("UPDATE users SET tenant_id = :t WHERE id = :u", {"t": other.id, "u": ann.person.id})
    assert ann.post(PATH, json=SINGLE).status_code == 409
    assert (jobs_of(acme), jobs_of(other)) == (1, 0)
    assert ann.post(PATH, json=SINGLE).status_code == 202
    assert (jobs_of(acme), jobs_of(other)) == (1, 1)


def test_a_sign_in_changes_nothing_but_the_way(acme: Tenant, ann: Caller) -> None:
    """It writes the person's row, so they are looked up once more."""
    assert ann.person
    assert ann.post(PATH, json=SINGLE).status_code == 202
    owner_sql("UPDATE users SET last_login_at = now() WHERE id = :u", {"u": ann.person.id})
    assert [ann.post(PATH, json=SINGLE).status_code for _ in range(2)] == [202, 202]
    assert jobs_of(acme) == 3


def test_a_token_without_the_scope_is_not_let_in_by_what_is_remembered(
    web: Web, ann: Caller
) -> None:
    reader = program(web, ann, "jobs:read")
    assert [reader.post(PATH, json=SINGLE).status_code for _ in range(2)] == [403, 403]


@pytest.mark.parametrize("setting", ["API_LIMIT", "TENANT_LIMIT"])
def test_the_limits_are_those_of_anybody(
    known: Caller, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """What was counted before the caller was remembered counts."""
    monkeypatch.setenv(setting, "4 per minute")
    get_settings.cache_clear()
    callers.forget(known.headers["Authorization"].removeprefix("Bearer "))
    try:
        answers = [known.post(PATH, json=SINGLE) for _ in range(6)]
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    assert [answer.status_code for answer in answers] == [202] * 4 + [429] * 2
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert (answers[-1].json or {})["code"] == "too_many_requests"


def test_what_the_person_may_not_make_does_not_count_for_the_client(
    ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_LIMIT", "2 per minute")
    get_settings.cache_clear()
    try:
        answers = [ann.post(PATH, json=SINGLE) for _ in range(4)]
        seen = ann.get(PATH)
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    assert [answer.status_code for answer in answers] == [202, 202, 429, 429]
    assert _remaining(seen) == _remaining(answers[1]) - 1


def _remaining(answer: TestResponse) -> int:
    return int(answer.headers["RateLimit"].partition(";r=")[2].partition(";")[0])
