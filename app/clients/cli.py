"""The command line for clients: `flask --app app.factory clients …`."""

import click

from app.clients.chain_command import chain_of_client
from app.clients.check_command import check_client
from app.clients.lane_commands import enable_client, remove_client, rollback_client, set_client
from app.clients.onboard_command import onboard_client
from app.clients.show_commands import (
    list_all,
    show_client,
    show_history,
    show_message,
    show_worker,
)

clients_cli = click.Group("clients", help="Clients with their lanes: onboard, check, watch, move.")
for command in (
    onboard_client,
    list_all,
    show_client,
    check_client,
    show_worker,
    show_message,
    show_history,
    set_client,
    chain_of_client,
    rollback_client,
    enable_client,
    remove_client,
):
    clients_cli.add_command(command)
