"""The command line with a login that row-level security binds: every command says what is missing, none shows nothing."""

from collections.abc import Iterator

import click
import pytest
from flask.testing import FlaskCliRunner

from app.accounts.cli import tenants_cli, users_cli
from app.clients.cli import clients_cli
from app.clients.keys_cli import keys_cli
from tests.conftest import forget_environment
from tests.integration.http_world import Web


@pytest.fixture
def cli(web: Web) -> FlaskCliRunner:
    return web.app.test_cli_runner()


@pytest.fixture
def as_application(web: Web) -> Iterator[pytest.MonkeyPatch]:
    """The environment of web and workers: nobody gave the owner's login."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATABASE_OWNER_URL")
        forget_environment()
        yield patch
    forget_environment()


SOME_ID = "00000000-0000-0000-0000-000000000001"


def commands(group: click.Group, *words: str) -> list[list[str]]:
    """Return every command of a group as somebody would type it, with something for each argument and required option."""
    return [
        [*words, name, *(word for param in command.params for word in _something_for(param))]
        for name, command in group.commands.items()
    ]


def _something_for(param: click.Parameter) -> list[str]:
    if param.name in {"platform", "yes"}:
        return [param.opts[0]]
    given = {"queue": "verification-queue:client-x", "slug": "x", "weight": "2"}.get(
        str(param.name)
    )
    if isinstance(param, click.Argument):
        return [SOME_ID if isinstance(param.type, click.types.UUIDParameterType) else "a@b.example"]
    return [param.opts[0], str(given)] if param.required and given else []


EVERY_COMMAND = [
    *commands(tenants_cli, "tenants"),
    *commands(users_cli, "users"),
    *commands(keys_cli, "keys"),
    *commands(clients_cli, "clients"),
]


@pytest.mark.parametrize("words", EVERY_COMMAND, ids=" ".join)
def test_without_the_owners_login_every_command_says_what_is_missing(
    cli: FlaskCliRunner, as_application: pytest.MonkeyPatch, words: list[str]
) -> None:
    # Something to change, where a command wants it.
    options = {"edit": ["--spacing-ms", "9"], "set": ["--weight", "2"]}.get(words[1], [])
    result = cli.invoke(args=[*words, *options], input="a-secret-of-the-caller\n")
    assert "DATABASE_OWNER_URL is not set, and DATABASE_URL names laneway_app" in result.output
    assert "Set DATABASE_OWNER_URL=postgresql://" in result.output
    assert result.exit_code == 2


def test_a_login_that_is_not_the_owners_is_named(
    cli: FlaskCliRunner, as_application: pytest.MonkeyPatch, database_url: str
) -> None:
    as_application.setenv("DATABASE_OWNER_URL", database_url)
    forget_environment()
    result = cli.invoke(args=["users", "list"])
    assert (result.exit_code, "DATABASE_OWNER_URL names laneway_app" in result.output) == (2, True)
