"""`clients check`: whether a client's lane works, step by step."""

import click

from app.clients.check import ANSWER_SECONDS, check
from app.clients.clients import get_client
from app.clients.command_line import provider_limits, transaction
from app.clients.printing import to_json
from app.clients.show_commands import json_option, name_argument, presence
from app.plain_text import escaped
from app.settings import get_settings


@click.command("check")
@name_argument
@click.option("--address", help="What to verify as a test.  [default: the person's own e-mail]")
@click.option(
    "--seconds",
    type=click.FloatRange(1, 600),
    default=ANSWER_SECONDS,
    show_default=True,
    help="How long to wait for its answer.",
)
@json_option
def check_client(name: str, *, address: str | None, seconds: float, as_json: bool) -> None:
    """Check a client's row, worker and keys, and send one address through its lane.

    Costs a call of each stored key and one for the address, all within their limits. Exit code 1 when a step fails.
    """
    with provider_limits() as limiter:
        with transaction() as connection:
            client = get_client(connection, name, presence())
        lines = check(
            transaction,
            client,
            limiter=limiter,
            settings=get_settings(),
            address=address,
            seconds=seconds,
        )
    if as_json:
        click.echo(to_json(lines))
    for line in [] if as_json else lines:
        click.echo(
            escaped(f"{'ok' if line.ok else 'failed'}\t{line.name}: {line.detail}", keep="\t")
        )
        if line.remedy:
            click.echo(escaped(f"\t-> {line.remedy}", keep="\t"))
    if not all(line.ok for line in lines):
        raise SystemExit(1)
