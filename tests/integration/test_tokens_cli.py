"""The commands for API tokens, as an operator types them."""

import json
import re
from uuid import uuid4

import pytest
from click.testing import Result
from flask.testing import FlaskCliRunner

from tests.factories import Person, make_person, make_tenant, owner_sql
from tests.integration.http_world import Web

JOBS = "/api/enrichment/jobs"
JOB = {"type": "email_validation", "payload": {"emails": ["a@example.com"]}}


@pytest.fixture
def cli(web: Web) -> FlaskCliRunner:
    return web.app.test_cli_runner()


@pytest.fixture
def ann() -> Person:
    return make_person(make_tenant())


def run(cli: FlaskCliRunner, *words: str) -> Result:
    result = cli.invoke(args=["tokens", *words])
    assert "Traceback" not in result.output
    return result


def make(cli: FlaskCliRunner, person: Person, *words: str) -> tuple[str, str]:
    """Make a token; return its id and itself."""
    options = ("--name", "nightly import", "--scope", "jobs:read", *words)
    result = run(cli, "create", person.email, *options)
    assert result.exit_code == 0, result.output
    (token,) = re.findall(r"^lw_[\w-]{43}$", result.output, re.MULTILINE)
    return result.output.split()[1], token


def status(web: Web, token: str, method: str = "GET") -> int:
    caller = web.caller()
    caller.headers = {"Authorization": f"Bearer {token}"}
    return caller.call(method, JOBS, json=JOB if method == "POST" else None).status_code


def test_a_token_is_made_used_listed_and_revoked(
    web: Web, cli: FlaskCliRunner, ann: Person
) -> None:
    assert ann.tenant
    token_id, token = make(cli, ann)
    assert (status(web, token), status(web, token, "POST")) == (200, 403)
    other = make_person(make_tenant())
    make(cli, other)
    for name in (ann.email, ann.tenant.slug):
        (line,) = run(cli, "list", name).output.splitlines()
        assert line.startswith(token_id)
        assert f"…{token[-4:]}" in line
        assert "last used 2" in line
        assert token not in line
    assert len(run(cli, "list").output.splitlines()) >= 2
    (listed,) = json.loads(run(cli, "list", ann.email, "--json").output)
    assert (listed["state"], listed["slug"], listed["scopes"]) == (
        "good",
        ann.tenant.slug,
        ["jobs:read"],
    )
    assert "hash" not in listed
    assert "is revoked" in run(cli, "revoke", token_id).output
    assert status(web, token) == 401
    assert "revoked already" in run(cli, "revoke", token_id).output
    told = cli.invoke(args=["clients", "history", ann.tenant.slug]).output
    assert told.count("revoked") == 2, "its action and its words, once"
    assert "cli:" in told


def test_its_last_day_is_kept(cli: FlaskCliRunner, ann: Person) -> None:
    token_id, _ = make(cli, ann, "--expires", "2999-06-30")
    ends = owner_sql(
        "SELECT (expires_at AT TIME ZONE 'UTC')::date::text FROM api_tokens WHERE id = :i",
        {"i": token_id},
    )
    assert ends == "2999-06-30"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--scope", "jobs:read"), 2, "--name"),
        (("--name", "x"), 2, "--scope"),
        (("--name", "x", "--scope", "all"), 2, "jobs:write"),
        (("--name", " ", "--scope", "jobs:read"), 1, "1 to 100"),
        (("--name", "x\x1b[2J", "--scope", "jobs:read"), 1, "name"),
        (("--name", "x", "--scope", "jobs:read", "--expires", "2020-01-01"), 1, "lies ahead"),
        (("--name", "x", "--scope", "jobs:read", "--expires", "soon"), 2, "soon"),
    ],
)
def test_wrong_words_make_no_token(
    cli: FlaskCliRunner, ann: Person, words: tuple[str, ...], code: int, said: str
) -> None:
    result = run(cli, "create", ann.email, *words)
    assert (result.exit_code, said in result.output) == (code, True), result.output
    assert run(cli, "list", ann.email).output == ""


def test_whom_no_token_can_act_for_is_said(cli: FlaskCliRunner, ann: Person) -> None:
    options = ("--name", "x", "--scope", "jobs:read")
    operator = make_person(role="operator")
    assert "belongs to no client" in run(cli, "create", operator.email, *options).output
    cli.invoke(args=["users", "deactivate", ann.email])
    assert "deactivated" in run(cli, "create", ann.email, *options).output
    assert "no user" in run(cli, "create", "nobody@x.example", *options).output
    assert "no such token" in run(cli, "revoke", str(uuid4())).output
