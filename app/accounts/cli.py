"""The installation's command line for clients and people: `flask --app app.factory tenants|users …`.

It writes on the owner's connection (DATABASE_OWNER_URL), which row-level security does not bind. Secrets come from
standard input or a prompt, never from an argument, where the list of processes would show them.
"""

import secrets
import sys

import click
from flask.cli import AppGroup

from app.accounts import tenants, users
from app.accounts.command_line import if_missing_option, maybe_there, owner, read_stdin
from app.plain_text import escaped

tenants_cli = AppGroup("tenants", help="The clients of this installation.")
users_cli = AppGroup("users", help="The people who may sign in.")


@tenants_cli.command("create")
@click.argument("name")
@click.option("--slug", required=True, help="Short name in lower case, as in queue names: acme.")
@click.option("--weight", type=int, default=1, show_default=True, help="Share of a shared lane.")
@if_missing_option
def create_tenant(name: str, slug: str, weight: int, *, if_missing: bool) -> None:
    """Add a client."""
    with owner() as connection, maybe_there(f"tenant {slug}", allowed=if_missing):
        tenant_id = tenants.create_tenant(connection, name, slug, weight)
        click.echo(f"tenant {slug} {tenant_id}")
        if namesakes := tenants.namesakes_in_words(connection, name, slug):
            click.echo(escaped(f"look {namesakes} Tell them apart by the short name, {slug}."))


@tenants_cli.command("list")
def list_tenants() -> None:
    """Show every client with its lane."""
    with owner() as connection:
        for row in tenants.list_tenants(connection):
            lane = row.queue or "shared"
            click.echo(
                f"{row.slug}\t{escaped(row.name)}\tweight {row.weight}\t{row.users} users\t{lane}\t{row.id}"
            )


def _password(*, from_stdin: bool) -> tuple[str, bool]:
    """Return a password and whether it was made up here."""
    if from_stdin:
        return read_stdin("password"), False
    if sys.stdin.isatty():
        prompt = "Password (empty: generate one)"
        typed = click.prompt(
            prompt, default="", hide_input=True, show_default=False, confirmation_prompt=True
        )
        if typed:
            return str(typed), False
    return secrets.token_urlsafe(15), True


@users_cli.command("create")
@click.argument("email")
@click.option("--tenant", "slug", help="Slug of the person's client; operators may have none.")
@click.option("--role", type=click.Choice(users.ROLES), default="member", show_default=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@if_missing_option
def create_user(
    email: str, slug: str | None, role: users.Role, *, password_stdin: bool, if_missing: bool
) -> None:
    """Add a person; without --password-stdin a password is asked for, or made up and printed."""
    password, generated = _password(from_stdin=password_stdin)
    with owner() as connection, maybe_there(f"user {email}", allowed=if_missing):
        tenant_id = tenants.find_tenant_id(connection, slug) if slug else None
        user_id = users.create_user(connection, email, password, role, tenant_id)
        click.echo(f"user {users.normalise_email(email)} {role} {user_id}")
        if generated:
            click.echo(f"password {password}")


@users_cli.command("list")
def list_users() -> None:
    """Show everybody who may sign in."""
    with owner() as connection:
        for row in users.list_users(connection):
            state = "active" if row.is_active else "deactivated"
            click.echo(f"{row.email}\t{row.role}\t{row.slug or '-'}\t{state}\t{row.id}")


@users_cli.command("deactivate")
@click.argument("email")
def deactivate_user(email: str) -> None:
    """Shut a person out, at once."""
    with owner() as connection:
        users.set_active(connection, email, active=False)
        click.echo(f"user {email} is deactivated")


@users_cli.command("activate")
@click.argument("email")
def activate_user(email: str) -> None:
    """Let a person in again."""
    with owner() as connection:
        users.set_active(connection, email, active=True)
        click.echo(f"user {email} is active")


@users_cli.command("password")
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def set_password(email: str, *, password_stdin: bool) -> None:
    """Give a person another password; their sessions and tokens end."""
    password, generated = _password(from_stdin=password_stdin)
    with owner() as connection:
        users.set_password(connection, email, password)
        click.echo(f"user {email} has a new password" + (f": {password}" if generated else ""))
