"""Tokens of programs: what they open, what they don't, and when they are void."""

from typing import Any

import pytest

from app.settings import get_settings
from tests.factories import Tenant, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web

JOBS, TOKENS = "/api/enrichment/jobs", "/api/tokens"
JOB = {"type": "email_validation", "payload": {"emails": ["a@example.com"]}}


@pytest.fixture
def acme() -> Tenant:
    return make_tenant()


@pytest.fixture
def ann(web: Web, acme: Tenant) -> Caller:
    return web.caller(make_person(acme))


def make(ann: Caller, *scopes: str, **more: Any) -> dict[str, Any]:
    said = {"name": "nightly import", "scopes": list(scopes) or ["jobs:read", "jobs:write"], **more}
    answer = ann.post(TOKENS, json=said)
    assert answer.status_code == 201, answer.json
    return dict(answer.json or {})


def program(web: Web, token: str) -> Caller:
    caller = web.caller()
    caller.headers = {"Authorization": f"Bearer {token}"}
    return caller


def test_a_token_acts_for_its_maker_within_its_clients_rows(web: Web, ann: Caller) -> None:
    made = make(ann)
    robot = program(web, made["token"])
    job = robot.post(JOBS, json=JOB)
    assert job.status_code == 202
    assert (ann.get(JOBS).json or {})["jobs"][0]["id"] == (job.json or {})["id"]
    eve = web.caller(make_person(make_tenant()))
    assert eve.get(f"{JOBS}/{(job.json or {})['id']}").status_code == 404


def test_it_is_shown_once_and_kept_as_a_hash(ann: Caller) -> None:
    made = make(ann)
    (listed,) = (ann.get(TOKENS).json or {})["tokens"]
    assert "token" not in listed
    assert (listed["hint"], listed["last_used_at"]) == (made["token"][-4:], None)
    kept = str(
        owner_sql("SELECT row_to_json(t)::text FROM api_tokens t WHERE id = :i", {"i": made["id"]})
    )
    assert made["token"] not in kept


def test_its_scopes_are_all_that_it_may(web: Web, ann: Caller) -> None:
    reader = program(web, make(ann, "jobs:read")["token"])
    assert reader.get(JOBS).status_code == 200
    refused = reader.post(JOBS, json=JOB)
    assert (refused.status_code, "jobs:write" in str(refused.json)) == (403, True)


def test_no_token_makes_lists_or_revokes_tokens(web: Web, ann: Caller) -> None:
    made = make(ann)
    robot = program(web, made["token"])
    said = {"name": "x", "scopes": ["jobs:read"]}
    assert robot.post(TOKENS, json=said).status_code == 403
    assert robot.get(TOKENS).status_code == 403
    assert robot.delete(f"{TOKENS}/{made['id']}").status_code == 403


def test_a_revoked_token_is_void_at_once(web: Web, ann: Caller) -> None:
    made = make(ann)
    robot = program(web, made["token"])
    assert robot.get(JOBS).status_code == 200
    assert ann.delete(f"{TOKENS}/{made['id']}").status_code == 204
    assert robot.get(JOBS).status_code == 401
    (listed,) = (ann.get(TOKENS).json or {})["tokens"]
    assert listed["revoked_at"] is not None
    assert listed["last_used_at"] is not None


@pytest.mark.parametrize(
    "ends",
    [
        "UPDATE api_tokens SET expires_at = now() WHERE user_id = :u",
        "UPDATE users SET is_active = false WHERE id = :u",
        "UPDATE users SET tenant_id = :other WHERE id = :u",
    ],
)
def test_it_ends_with_its_time_its_maker_and_its_makers_client(
    web: Web, ann: Caller, ends: str
) -> None:
    robot = program(web, make(ann)["token"])
    assert ann.person
    values = {"u": ann.person.id}
    owner_sql(ends, {**values, "other": make_tenant().id} if ":other" in ends else values)
    assert robot.get(JOBS).status_code == 401


def test_only_an_admin_sees_and_revokes_those_of_others(
    web: Web, ann: Caller, acme: Tenant
) -> None:
    made = make(ann)
    bob, boss = web.caller(make_person(acme)), web.caller(make_person(acme, role="admin"))
    assert (bob.get(TOKENS).json or {})["tokens"] == []
    assert bob.delete(f"{TOKENS}/{made['id']}").status_code == 404
    assert len((boss.get(TOKENS).json or {})["tokens"]) == 1
    stranger = web.caller(make_person(make_tenant(), role="admin"))
    assert stranger.delete(f"{TOKENS}/{made['id']}").status_code == 404
    assert boss.delete(f"{TOKENS}/{made['id']}").status_code == 204


def test_a_token_opens_nothing_of_the_operators(web: Web, ann: Caller) -> None:
    assert program(web, make(ann)["token"]).get("/api/clients").status_code == 403


@pytest.mark.parametrize("token", ["lw_short", "lw_" + "x" * 43, "lw_" + "x" * 42 + "\u00e9"])
def test_what_is_no_token_is_refused(web: Web, token: str) -> None:
    assert program(web, token).get(JOBS).status_code == 401


def test_answers_tell_how_the_clients_limit_stands(
    web: Web, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANT_LIMIT", "3 per minute")
    get_settings.cache_clear()
    answers = [ann.get(JOBS) for _ in range(4)]
    get_settings.cache_clear()
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"client";q=3;w=60'
    assert [answer.headers["RateLimit"].split(";t=")[0] for answer in answers] == [
        f'"client";r={left}' for left in (2, 1, 0, 0)
    ]
    assert int(answers[3].headers["Retry-After"]) > 0
