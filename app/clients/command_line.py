"""What the commands for clients and keys share: who acts, the limits of keys as options, the limiter."""

import getpass
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import click
from sqlalchemy import Connection

from app.accounts.command_line import errors_told
from app.clients.actor import acting_as
from app.db.engine import owner_engine
from app.db.ownership import require_owner
from app.settings import get_settings
from routing.rate_limits.limiter import Limiter
from routing.rate_limits.limits import LimitPolicy

T = TypeVar("T")
_UNITS = {"s": 1, "": 1, "m": 60, "h": 3600}


def login_name() -> str:
    """Return the name of the login that runs the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"  # a container may run as a number that has no name


@contextmanager
def transaction() -> Iterator[Connection]:
    """Open a transaction on the owner's connection whose changes are the command line's in the audit.

    Raises `WrongLogin` where the connection is not the owner's.
    """
    with owner_engine().begin() as connection:
        require_owner(connection)
        acting_as(connection, f"cli:{login_name()}")
        yield connection


@contextmanager
def owner() -> Iterator[Connection]:
    """Open such a transaction; errors are told."""
    with errors_told(), transaction() as connection:
        yield connection


@contextmanager
def provider_limits() -> Iterator[Limiter]:
    """Connect to the providers' limits; errors are told."""
    with errors_told():
        settings = get_settings()
        limiter = Limiter.connect(settings.limits_url, LimitPolicy.from_settings(settings))
        try:
            yield limiter
        finally:
            limiter.close()


class WindowType(click.ParamType[tuple[int, int]]):
    """A window as people write it: 1000/3600s, 1000/60m or 1000/1h. Becomes (calls, seconds)."""

    name = "calls/time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Read the text. Fails as a usage error."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})\s*([smh]?)", str(value).strip())
        if not found or not int(found[1]) or not int(found[2]):
            self.fail(f"{value!r} is no window; write 1000/3600s.", param, ctx)
        return int(found[1]), int(found[2]) * _UNITS[found[3]]


WINDOW = WindowType()


def one_each(option: str, values: Sequence[T], keys: int) -> list[T]:
    """Return a value for each key: one given is for all, else as many as there are keys. Raises a usage error."""
    if len(values) == 1:
        return [values[0]] * keys
    if len(values) != keys:
        raise click.UsageError(
            f"{option} is given {len(values)} times for {keys} keys: give it once for all, or once for each in their order."
        )
    return list(values)
