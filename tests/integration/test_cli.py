"""The installation's command line, run as a process would run it."""

import pytest
from click.testing import Result
from flask.testing import FlaskCliRunner

from app.accounts import users
from app.crypto import decrypt, fingerprint
from app.db.engine import owner_engine
from app.db.scope import system_scope
from tests.factories import make_tenant, owner_sql
from tests.integration.http_world import Web


@pytest.fixture
def cli(web: Web) -> FlaskCliRunner:
    return web.app.test_cli_runner()


def run(cli: FlaskCliRunner, *words: str, stdin: str = "") -> Result:
    return cli.invoke(args=list(words), input=stdin)


def sign_in(email: str, password: str) -> users.Account:
    with system_scope() as connection:
        return users.authenticate(connection, email, password)


def test_a_tenant_is_added_once(cli: FlaskCliRunner) -> None:
    first = run(cli, "tenants", "create", "Acme GmbH", "--slug", "acme", "--weight", "3")
    assert first.exit_code == 0
    again = run(cli, "tenants", "create", "Acme GmbH", "--slug", "acme")
    assert (again.exit_code, "already" in again.output) == (1, True)
    assert run(cli, "tenants", "create", "Acme", "--slug", "acme", "--if-missing").exit_code == 0
    assert owner_sql("SELECT weight FROM tenants WHERE slug = 'acme'") == 3
    assert "Acme GmbH" in run(cli, "tenants", "list").output


def test_a_name_that_another_client_has_is_told(cli: FlaskCliRunner) -> None:
    words = ("tenants", "create", "Namesake GmbH", "--slug")
    assert "look" not in run(cli, *words, "namesake").output
    said = run(cli, "tenants", "create", " namesake gmbh", "--slug", "namesake-2").output
    assert "look There is another client with the name namesake gmbh: namesake." in said
    assert "Tell them apart by the short name, namesake-2." in said
    again = run(cli, *words, "namesake-2", "--if-missing").output
    assert "look" not in again, "nothing was made"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tenants", "create", "X", "--slug", "Not Good"], "slug"),
        (["tenants", "create", " ", "--slug", "x"], "name"),
        (["tenants", "create", "X", "--slug", "x", "--weight", "0"], "weight"),
        (["users", "create", "nobody", "--role", "operator"], "e-mail address"),
        (["users", "create", "a@b.example", "--tenant", "missing"], "no tenant missing"),
        (["users", "create", "a@b.example"], "--tenant"),
        (["users", "create", "a@b.example", "--role", "king"], "king"),
        (["users", "deactivate", "missing@b.example"], "no user"),
        (["keys", "add"], "--platform"),
        (["keys", "add", "--platform", "--tenant", "x"], "--platform"),
        (["keys", "add", "--tenant", "missing"], "no tenant missing"),
        (["keys", "add", "--platform", "--spacing-ms", "-1"], "spacing"),
    ],
)
def test_wrong_words_are_answered_in_one_line(
    cli: FlaskCliRunner, words: list[str], said: str
) -> None:
    result = run(cli, *words, stdin="a-secret-of-the-caller\n")
    assert result.exit_code in (1, 2)
    assert said in result.output
    assert "Traceback" not in result.output
    assert "a-secret-of-the-caller" not in result.output


def test_a_person_signs_in_with_the_password_from_standard_input(cli: FlaskCliRunner) -> None:
    tenant = make_tenant()
    words = ["users", "create", "Ann@Example.com", "--tenant", tenant.slug, "--role", "admin"]
    result = run(cli, *words, "--password-stdin", stdin="a fine password\n")
    assert result.exit_code == 0
    assert "a fine password" not in result.output
    account = sign_in("ann@example.com", "a fine password")
    assert (account.role, account.tenant_slug) == ("admin", tenant.slug)
    assert run(cli, *words, "--password-stdin", stdin="another one\n").exit_code == 1
    assert (
        run(cli, *words, "--password-stdin", "--if-missing", stdin="another one\n").exit_code == 0
    )
    assert sign_in("ann@example.com", "a fine password").id == account.id


def test_without_a_password_one_is_made_up_and_printed(cli: FlaskCliRunner) -> None:
    result = run(cli, "users", "create", "op@example.com", "--role", "operator")
    password = result.output.rpartition("password ")[2].strip()
    account = sign_in("op@example.com", password)
    assert account.is_operator
    assert account.tenant_id is None


def test_a_short_password_is_refused(cli: FlaskCliRunner) -> None:
    words = ["users", "create", "op2@example.com", "--role", "operator", "--password-stdin"]
    for typed in ("short\n", ""):
        assert run(cli, *words, stdin=typed).exit_code == 1


def test_people_are_shut_out_let_in_and_given_passwords(cli: FlaskCliRunner) -> None:
    run(cli, "users", "create", "bob@example.com", "--role", "operator")
    assert run(cli, "users", "deactivate", "bob@example.com").exit_code == 0
    assert "deactivated" in run(cli, "users", "list").output
    assert run(cli, "users", "activate", "bob@example.com").exit_code == 0
    run(cli, "users", "password", "bob@example.com", "--password-stdin", stdin="something new\n")
    assert sign_in("bob@example.com", "something new").email == "bob@example.com"


def test_a_key_is_kept_encrypted_and_shown_by_its_end(cli: FlaskCliRunner) -> None:
    tenant = make_tenant()
    words = ["keys", "add", "--tenant", tenant.slug, "--spacing-ms", "125", "--per-30s", "165"]
    secret = "mt_0123456789abcd"
    result = run(cli, *words, "--daily-limit", "0", "--notes", "upgraded", stdin=f"{secret}\n")
    assert result.exit_code == 0, result.output
    assert secret not in result.output
    with owner_engine().begin() as connection:
        row = connection.exec_driver_sql(
            "SELECT * FROM api_keys WHERE tenant_id = %s", (str(tenant.id),)
        ).one()
    assert decrypt(row.secret_encrypted) == secret
    assert secret.encode() not in bytes(row.secret_encrypted)
    assert row.fingerprint == fingerprint("mailtester", secret)
    assert (row.hint, row.spacing_ms, row.requests_per_window, row.daily_limit) == (
        "abcd",
        125,
        165,
        None,
    )
    assert run(cli, *words, stdin=f"{secret}\n").exit_code == 1
    assert run(cli, *words, "--if-missing", stdin=f"{secret}\n").exit_code == 0
    # The platform may have the very same key, with the very same limits.
    words = ["keys", "add", "--platform", "--daily-limit", "0"]
    refused = run(cli, *words, "--if-missing", stdin=f"{secret}\n")
    assert refused.exit_code == 1
    assert f"in use for the client {tenant.slug}" in refused.output
    assert run(cli, *words, "--spacing-ms", "125", stdin=f"{secret}\n").exit_code == 0
    assert "…abcd" in run(cli, "keys", "list").output


def test_a_window_that_would_block_redis_is_refused(cli: FlaskCliRunner) -> None:
    words = ["keys", "add", "--tenant", make_tenant().slug]
    for limit in (
        ["--per-30s", "100001"],
        ["--window", "2000000000/1h"],
        ["--window", "200000/1h"],
    ):
        result = run(cli, *words, *limit, stdin="mt_fedcba9876543\n")
        assert result.exit_code != 0
    assert "at most 100,000 calls. Name a shorter one" in result.output


def test_without_the_database_the_reason_is_said(
    web: Web, cli: FlaskCliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.settings import get_settings
    from devtools.ports import find_free_port

    monkeypatch.setenv("DATABASE_OWNER_URL", f"postgresql://x@127.0.0.1:{find_free_port()}/x")
    get_settings.cache_clear()
    kept = owner_engine
    kept.cache_clear()
    try:
        result = run(cli, "tenants", "list")
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
        kept.cache_clear()
    assert result.exit_code == 1
    assert "refused" in result.output
