"""The command that shows and changes whom a client's leads are looked up with: `clients chain`."""

import click

from app.clients.chain import chain_in_words, chain_notes, read_chain
from app.clients.clients import change_settings, get_client
from app.clients.command_line import owner
from app.clients.show_commands import name_argument, presence
from app.plain_text import escaped


@click.command("chain")
@name_argument
@click.argument("providers", required=False)
@click.option("--default", "as_usual", is_flag=True, help="As the installation has it.")
def chain_of_client(name: str, providers: str | None, *, as_usual: bool) -> None:
    """Show or change who is asked about a client's leads: apollo,hunter. It holds from the next job on."""
    if providers is not None and as_usual:
        raise click.UsageError("Give either the providers' names or --default, not both.")
    wanted = None if as_usual else read_chain(providers or "")
    if providers is not None and not wanted:
        raise click.UsageError("Name at least one provider, with commas between: apollo,hunter.")
    with owner() as connection:
        client = get_client(connection, name, presence())
        if providers is None and not as_usual:
            click.echo(f"client {client.slug}: {chain_in_words(client.enrichment_chain)}")
            return
        changes = change_settings(connection, client.id, enrichment_chain=wanted)
        warnings = chain_notes(connection, client, wanted)
    before, after = chain_in_words(client.enrichment_chain), chain_in_words(wanted)
    if not changes:
        click.echo(f"client {client.slug}: {after}; nothing changed: it was so")
    else:
        click.echo(f"client {client.slug}: {before} -> {after}, from the next job on")
    for warning in warnings:
        click.echo(escaped(f"look {warning}"))
