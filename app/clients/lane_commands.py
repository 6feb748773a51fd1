"""The commands that change a client: `clients rollback|enable|remove|set`."""

from collections.abc import Callable
from uuid import UUID

import click
from sqlalchemy import Connection

from app.clients.clients import (
    KEY_POLICIES,
    LaneChange,
    change_settings,
    enable,
    get_client,
    remove,
    rollback,
)
from app.clients.command_line import owner
from app.clients.new_client import namesake_notes
from app.clients.printing import change_line
from app.clients.show_commands import name_argument, presence
from app.plain_text import escaped


def _change(name: str, act: Callable[[Connection, UUID], LaneChange]) -> None:
    with owner() as connection:
        client = get_client(connection, name, presence())
        change = act(connection, client.id)
    click.echo(f"client {client.slug}: {change_line(change)}")


@click.command("rollback")
@name_argument
def rollback_client(name: str) -> None:
    """Send a client's work to the shared lane, at once. Its row stays: `enable` puts it back."""
    _change(name, rollback)


@click.command("enable")
@name_argument
def enable_client(name: str) -> None:
    """Put a client back on the lane it had."""
    _change(name, enable)


@click.command("remove")
@name_argument
@click.option("--yes", is_flag=True, help="Don't ask.")
def remove_client(name: str, *, yes: bool) -> None:
    """Take a client's lane away for good; its work goes to the shared lane, its keys stay."""
    if not yes:
        with owner() as connection:
            client = get_client(connection, name, presence())
        lane = client.configured_queue or "no lane of its own"
        click.confirm(f"Remove {lane} of {client.slug} for good?", abort=True)
    _change(name, remove)


class _NumberOr(click.ParamType[int]):
    """A whole number, or a word for none, which becomes 0."""

    def __init__(self, word: str) -> None:
        self.name = f"number|{word}"
        self._word = word

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Read the text. Fails as a usage error."""
        if isinstance(value, int) or value == self._word:
            return value if isinstance(value, int) else 0
        try:
            number = int(str(value))
        except ValueError:
            number = 0
        if number < 1:
            self.fail(f"{value!r} is neither a number from 1 nor {self._word}.", param, ctx)
        return number


@click.command("set")
@name_argument
@click.option("--name", "display_name", help="The client's name, for people.")
@click.option("--weight", type=int, help="Its share of the shared lane: 1 to 100.")
@click.option("--max-in-flight", type=_NumberOr("none"), help="Chunks at work at once.")
@click.option("--max-in-flight-per-job", type=_NumberOr("none"), help="The same of one job.")
@click.option("--key-policy", type=click.Choice(KEY_POLICIES), help="Whose keys serve it.")
@click.option(
    "--fallback-after",
    type=_NumberOr("off"),
    help="Seconds (30 or more) without a worker after which its work uses the shared lane.",
)
def set_client(
    name: str,
    *,
    display_name: str | None,
    weight: int | None,
    max_in_flight: int | None,
    max_in_flight_per_job: int | None,
    key_policy: str | None,
    fallback_after: int | None,
) -> None:
    """Change a client's settings; they are in force at once."""
    numbers = {
        "max_in_flight": max_in_flight,
        "max_in_flight_per_job": max_in_flight_per_job,
        "fallback_after_seconds": fallback_after,
    }
    words = {"name": display_name, "weight": weight, "key_policy": key_policy}
    settings: dict[str, object] = {key: value for key, value in words.items() if value is not None}
    settings |= {key: value or None for key, value in numbers.items() if value is not None}
    if not settings:
        raise click.UsageError("Say what to change: --weight, --key-policy, --fallback-after, …")
    with owner() as connection:
        client = get_client(connection, name, presence())
        changes = change_settings(connection, client.id, **settings)
        warnings = (
            namesake_notes(connection, display_name, client.slug)
            if display_name and "name" in changes
            else []
        )
    for key, (old, new) in changes.items():
        before, after = ("none" if value is None else value for value in (old, new))
        click.echo(escaped(f"{key} {before} -> {after}"))
    for warning in warnings:
        click.echo(escaped(f"look {warning}"))
    if not changes:
        click.echo("nothing changed: it was so")
