"""The command that shows and changes whom a client's leads are looked up with: `clients chain`."""

from dataclasses import replace
from typing import Any

import click

from app.clients.chain import chain_in_words, chain_notes, read_chain
from app.clients.clients import change_settings, get_client
from app.clients.command_line import owner
from app.clients.rows import ClientRow
from app.clients.show_commands import name_argument, presence
from app.plain_text import escaped


@click.command("chain")
@name_argument
@click.argument("providers", required=False)
@click.option("--default", "as_usual", is_flag=True, help="As the installation has it.")
@click.option(
    "--cheapest-first/--as-listed",
    "is_cheapest_first",
    default=None,
    help="In which order, where a job does not say: by what a look-up costs, or as the chain stands.",
)
def chain_of_client(
    name: str, providers: str | None, *, as_usual: bool, is_cheapest_first: bool | None
) -> None:
    """Show or change who is asked about a client's leads, and in which order: apollo,hunter. It holds from the next job on."""
    if providers is not None and as_usual:
        raise click.UsageError("Give either the providers' names or --default, not both.")
    wanted: dict[str, Any] = {}
    if providers is not None or as_usual:
        wanted["enrichment_chain"] = None if as_usual else read_chain(providers or "")
        if wanted["enrichment_chain"] == []:
            raise click.UsageError(
                "Name at least one provider, with commas between: apollo,hunter."
            )
    if is_cheapest_first is not None:
        wanted["enrichment_cheapest_first"] = is_cheapest_first
    with owner() as connection:
        client = get_client(connection, name, presence())
        before = _words(client)
        if not wanted:
            click.echo(f"client {client.slug}: {before}")
            return
        changes = change_settings(connection, client.id, **wanted)
        client = replace(client, **wanted)
        warnings = chain_notes(connection, client, client.enrichment_chain)
    after = _words(client)
    if not changes:
        click.echo(f"client {client.slug}: {after}; nothing changed: it was so")
    else:
        click.echo(f"client {client.slug}: {before} -> {after}, from the next job on")
    for warning in warnings:
        click.echo(escaped(f"look {warning}"))


def _words(client: ClientRow) -> str:
    return chain_in_words(
        client.enrichment_chain, is_cheapest_first=client.enrichment_cheapest_first
    )
