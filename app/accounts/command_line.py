"""What every command of the installation shares: the owner's connection, errors as one sentence, secrets from standard input.

A login that row-level security binds is refused before anything is done: it would see no rows, and say so of rows that are there.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app.db.engine import owner_engine
from app.db.ownership import require_owner
from app.db.refusals import explain
from app.errors import Conflict, Contradiction, LanewayError, WrongLogin

if_missing_option = click.option(
    "--if-missing", is_flag=True, help="Succeed when it is there already."
)


class EnvironmentRefused(click.ClickException):
    """The environment is what must be changed; the exit code is that of `python -m app.db.migrate`."""

    exit_code = 2


@contextmanager
def errors_told() -> Iterator[None]:
    """Answer errors of the domain and of the database with one sentence and exit code 1; 2 where it needs another login."""
    try:
        yield
    except WrongLogin as error:
        raise EnvironmentRefused(error.message) from error
    except LanewayError as error:
        raise click.ClickException(error.message) from error
    except DBAPIError as error:
        explained = explain(error)
        said = explained.message if explained else f"The database says: {str(error.orig).strip()}"
        raise click.ClickException(said) from error


@contextmanager
def owner() -> Iterator[Connection]:
    """Open a transaction on the owner's connection, committed at the end; errors are told."""
    with errors_told(), owner_engine().begin() as connection:
        require_owner(connection)
        yield connection


@contextmanager
def maybe_there(what: str, *, allowed: bool) -> Iterator[None]:
    """Say that it is there already instead of failing, where that is allowed."""
    try:
        yield
    except Conflict as error:
        if not allowed or isinstance(error, Contradiction):
            raise
        click.echo(f"{what} is there already")


def read_stdin(what: str) -> str:
    """Return the first line of standard input."""
    found = sys.stdin.readline().strip()
    if not found:
        raise click.ClickException(f"Nothing came on standard input; the {what} is expected there.")
    return found
