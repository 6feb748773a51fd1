"""`clients onboard`: a client's lane and keys in one go."""

import sys
from collections.abc import Iterable
from pathlib import Path

import click
from pydantic import SecretStr

from app.accounts.command_line import owner as plain_owner
from app.clients.command_line import one_each, owner
from app.clients.key_notices import usable
from app.clients.keys import NewKey, client_keys, serving_keys
from app.clients.onboarding import Onboarded, Onboarding, onboard
from app.clients.printing import capacity_line, change_line, limits_of
from app.plain_text import escaped

_PER_KEY = "Once for all keys, or once for each in their order."


@click.command("onboard")
@click.argument("email")
@click.option("--queue", required=True, help="The lane: verification-queue:client-acme.")
@click.option(
    "--key",
    "given",
    multiple=True,
    help="A key. Seen in the list of processes and kept in the shell's history: rather --key-stdin.",
)
@click.option("--key-stdin", is_flag=True, help="Read keys from standard input, one a line.")
@click.option(
    "--key-file",
    "files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Read keys from a file, one a line.",
)
@click.option(
    "--spacing-ms",
    type=int,
    multiple=True,
    default=(250,),
    show_default=True,
    help=f"Between two calls. {_PER_KEY}",
)
@click.option(
    "--daily-limit",
    type=int,
    multiple=True,
    default=(500_000,),
    show_default=True,
    help=f"Calls a day; 0: none. {_PER_KEY}",
)
@click.option(
    "--per-30s",
    type=int,
    multiple=True,
    default=(165,),
    show_default=True,
    help=f"Calls in any 30 s; 0: no such limit. {_PER_KEY}",
)
@click.option("--notes", help="For people: client's name, date.")
@click.option(
    "--create", is_flag=True, help="Make the client and the person first, if they are not there."
)
@click.option("--name", help="With --create: the client's name.")
@click.option("--slug", help="With --create: the client's short name, as in queue names.")
def onboard_client(
    email: str,
    *,
    queue: str,
    given: tuple[str, ...],
    key_stdin: bool,
    files: tuple[Path, ...],
    spacing_ms: tuple[int, ...],
    daily_limit: tuple[int, ...],
    per_30s: tuple[int, ...],
    notes: str | None,
    create: bool,
    name: str | None,
    slug: str | None,
) -> None:
    """Give the client of the person EMAIL a lane of its own with its keys; no restart, everything or nothing.

    Best with the keys on standard input (--key-stdin): an argument is seen in the list of processes. Repeating it changes
    nothing; a key that is there keeps its limits.
    """
    if create and not (name and slug):
        raise click.UsageError("--create needs --name and --slug of the client.")
    if not create and (name or slug):
        raise click.UsageError("--name and --slug are for --create.")
    secrets = [*given, *_lines(files, key_stdin=key_stdin)]
    keys = [
        NewKey(
            SecretStr(secret), spacing_ms=spacing, per_30s=window or None, daily_limit=day or None
        )
        for secret, spacing, window, day in zip(
            secrets,
            one_each("--spacing-ms", spacing_ms, len(secrets)),
            one_each("--per-30s", per_30s, len(secrets)),
            one_each("--daily-limit", daily_limit, len(secrets)),
            strict=True,
        )
    ]
    with owner() as connection:
        done = onboard(connection, Onboarding(email, queue, keys, notes, name, slug))
    _tell(done)


def _lines(files: Iterable[Path], *, key_stdin: bool) -> list[str]:
    texts = [path.read_text() for path in files]
    if key_stdin:
        texts.append(sys.stdin.read())
    found = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    if key_stdin and not found:
        raise click.ClickException(
            "Nothing came on standard input; keys are expected there, one a line."
        )
    return found


def _tell(done: Onboarded) -> None:
    client = done.client
    click.echo(
        escaped(f"client {client.slug} ({client.name}), {client.user_email} {client.user_id}")
    )
    if done.password:
        click.echo(f"password {done.password}")
    for warning in done.warnings:
        click.echo(escaped(f"look {warning}"))
    click.echo(change_line(done.change))
    with plain_owner() as connection:
        keys = {key.id: key for key in client_keys(connection, client)}
        serving = usable(connection, serving_keys(connection, client))
    for key_id in done.key_ids:
        key = keys[key_id]
        what = "added" if key_id in done.added else "kept as it was"
        force = (
            ""
            if key.in_force
            else f", not in force ({_why_not(key.is_enabled, client.key_policy)})"
        )
        click.echo(f"key …{key.hint} {what}{force}\t{limits_of(key)}\t{key_id}")
    click.echo(capacity_line(serving))
    click.echo(
        f"next: `clients worker {client.slug}` prints the worker's environment; once it runs, `clients check {client.slug}`"
    )


def _why_not(is_enabled: bool, policy: str) -> str:  # noqa: FBT001 - two facts of one key
    if not is_enabled:
        return "disabled: keys edit ID --enable"
    if policy == "platform":
        return (
            "the client's key policy is platform: clients set NAME --key-policy own_then_platform"
        )
    return "its worker carries keys in its environment"
