"""The commands that look: `clients list|show|worker|message|history`."""

import click

from app.accounts.command_line import owner
from app.clients.capacity import capacity
from app.clients.clients import get_client, history, list_clients
from app.clients.command_line import provider_limits
from app.clients.key_notices import usable
from app.clients.keys import KeyFacts, client_keys, serving_keys
from app.clients.message import not_yet, welcome
from app.clients.printing import (
    audit_line,
    capacity_line,
    client_as_data,
    client_line,
    client_lines,
    key_as_data,
    key_line,
    to_json,
)
from app.clients.worker_files import FORMATS, WorkerFormat, worker_files
from app.jobs.key_problems import problems_of
from app.plain_text import escaped
from app.settings import get_settings
from routing.rate_limits.limits import KeyState

LAST_CHANGES = 5
name_argument = click.argument("name", metavar="NAME")
json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


def presence() -> float:
    """Return within which time a worker must have been seen to count as alive."""
    return get_settings().presence_timeout_seconds


@click.command("list")
@click.option("--search", help="Any part of the short name, name, a person's e-mail or a queue.")
@click.option("--limit", type=click.IntRange(1), help="So many at most.  [default: all]")
@click.option("--after", metavar="SLUG", help="Go on after this short name.")
@json_option
def list_all(*, search: str | None, limit: int | None, after: str | None, as_json: bool) -> None:
    """Show the clients by short name: lane in force, work, workers, own keys, and what wants a look."""
    with owner() as connection:
        found = list_clients(connection, presence(), search=search, after=after, limit=limit)
    if as_json:
        click.echo(to_json([client_as_data(client) for client in found]))
        return
    for client in found:
        click.echo(client_line(client))


@click.command("show")
@name_argument
@json_option
def show_client(name: str, *, as_json: bool) -> None:
    """Show a client: NAME is its short name, an id, or a person's e-mail."""
    with owner() as connection:
        client = get_client(connection, name, presence())
        keys, serving = client_keys(connection, client), serving_keys(connection, client)
        changes = history(connection, client.id, LAST_CHANGES)
        shown = keys + [key for key in serving if key not in keys]
        problems = problems_of(connection, shown)
        given = [key for key in serving if key.id not in problems]
    states = _states(shown)
    if as_json:
        data = client_as_data(client) | {
            "own_keys": [key_as_data(key, states, problems) for key in keys],
            "serving_keys": [key_as_data(key, states, problems) for key in serving],
            "capacity": capacity(given),
            "changes": changes,
        }
        click.echo(to_json(data))
        return
    for line in client_lines(client):
        click.echo(line)
    click.echo(f"key policy {client.key_policy}")
    for key in shown:
        click.echo(f"key {key_line(key, states, problems)}")
    click.echo(capacity_line(given))
    for row in changes:
        click.echo(f"change {audit_line(row)}")


def _states(keys: list[KeyFacts]) -> dict[str, KeyState]:
    """Return how keys stand; nothing while Redis is silent."""
    try:
        with provider_limits() as limiter:
            return dict(limiter.describe([key.fingerprint for key in keys]))
    except click.ClickException:
        return {}


@click.command("worker")
@name_argument
@click.option("--format", "kind", type=click.Choice(FORMATS), default="env", show_default=True)
@click.option(
    "--keys-in-environment",
    is_flag=True,
    help="The worker carries the client's keys itself, instead of taking them from the database.",
)
def show_worker(name: str, *, kind: WorkerFormat, keys_in_environment: bool) -> None:
    """Print what to deploy for a client's own worker; secrets are left for you to put in."""
    with owner() as connection:
        client = get_client(connection, name, presence())
        keys = [key for key in client_keys(connection, client) if key.id and key.is_enabled]
        files = worker_files(client, keys_in_environment, keys)
    click.echo(escaped(files[kind], keep="\n"), nl=False)


@click.command("message")
@name_argument
def show_message(name: str) -> None:
    """Print the message to the client that its lane is ready."""
    with owner() as connection:
        client = get_client(connection, name, presence())
        serving = usable(connection, serving_keys(connection, client))
    if warning := not_yet(client, serving):
        click.echo(f"{warning} See `clients show {client.slug}`.", err=True)
    click.echo(welcome(client, capacity(serving)), nl=False)


@click.command("history")
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@click.option("--before", type=int, help="Go on from this number.")
@json_option
def show_history(name: str | None, *, limit: int, before: int | None, as_json: bool) -> None:
    """Show who changed what, newest first; of one client, or of all and the platform's keys."""
    with owner() as connection:
        tenant_id = get_client(connection, name, presence()).id if name else None
        rows = history(connection, tenant_id, limit, before)
    if as_json:
        click.echo(to_json(rows))
        return
    for row in rows:
        click.echo(audit_line(row))
