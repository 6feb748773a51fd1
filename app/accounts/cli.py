"""The installation's command line: `flask --app app.factory tenants|users|keys …`.

It writes on the owner's connection (DATABASE_OWNER_URL), which row-level security does not bind. Secrets come from
standard input or a prompt, never from an argument, where the list of processes would show them.
"""

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import click
from flask.cli import AppGroup
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app.accounts import keys, tenants, users
from app.db.engine import owner_engine
from app.errors import Conflict, LanewayError

tenants_cli = AppGroup("tenants", help="The clients of this installation.")
users_cli = AppGroup("users", help="The people who may sign in.")
keys_cli = AppGroup("keys", help="The providers' keys.")
_if_missing = click.option("--if-missing", is_flag=True, help="Succeed when it is there already.")


@contextmanager
def _owner() -> Iterator[Connection]:
    try:
        with owner_engine().begin() as connection:
            yield connection
    except LanewayError as error:
        raise click.ClickException(error.message) from error
    except DBAPIError as error:
        raise click.ClickException(f"The database says: {str(error.orig).strip()}") from error


@contextmanager
def _maybe_there(what: str, *, allowed: bool) -> Iterator[None]:
    try:
        yield
    except Conflict:
        if not allowed:
            raise
        click.echo(f"{what} is there already")


def _read_stdin(what: str) -> str:
    found = sys.stdin.readline().strip()
    if not found:
        raise click.ClickException(f"Nothing came on standard input; the {what} is expected there.")
    return found


@tenants_cli.command("create")
@click.argument("name")
@click.option("--slug", required=True, help="Short name in lower case, as in queue names: acme.")
@click.option("--weight", type=int, default=1, show_default=True, help="Share of a shared lane.")
@_if_missing
def create_tenant(name: str, slug: str, weight: int, *, if_missing: bool) -> None:
    """Add a client."""
    with _owner() as connection, _maybe_there(f"tenant {slug}", allowed=if_missing):
        tenant_id = tenants.create_tenant(connection, name, slug, weight)
        click.echo(f"tenant {slug} {tenant_id}")


@tenants_cli.command("list")
def list_tenants() -> None:
    """Show every client with its lane."""
    with _owner() as connection:
        for row in tenants.list_tenants(connection):
            lane = row.queue or "shared"
            click.echo(
                f"{row.slug}\t{row.name}\tweight {row.weight}\t{row.users} users\t{lane}\t{row.id}"
            )


def _password(*, from_stdin: bool) -> tuple[str, bool]:
    """Return a password and whether it was made up here."""
    if from_stdin:
        return _read_stdin("password"), False
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
@_if_missing
def create_user(
    email: str, slug: str | None, role: users.Role, *, password_stdin: bool, if_missing: bool
) -> None:
    """Add a person; without --password-stdin a password is asked for, or made up and printed."""
    password, generated = _password(from_stdin=password_stdin)
    with _owner() as connection, _maybe_there(f"user {email}", allowed=if_missing):
        tenant_id = tenants.find_tenant_id(connection, slug) if slug else None
        user_id = users.create_user(connection, email, password, role, tenant_id)
        click.echo(f"user {users.normalise_email(email)} {role} {user_id}")
        if generated:
            click.echo(f"password {password}")


@users_cli.command("list")
def list_users() -> None:
    """Show everybody who may sign in."""
    with _owner() as connection:
        for row in users.list_users(connection):
            state = "active" if row.is_active else "deactivated"
            click.echo(f"{row.email}\t{row.role}\t{row.slug or '-'}\t{state}\t{row.id}")


@users_cli.command("deactivate")
@click.argument("email")
def deactivate_user(email: str) -> None:
    """Shut a person out, at once."""
    with _owner() as connection:
        users.set_active(connection, email, active=False)
        click.echo(f"user {email} is deactivated")


@users_cli.command("activate")
@click.argument("email")
def activate_user(email: str) -> None:
    """Let a person in again."""
    with _owner() as connection:
        users.set_active(connection, email, active=True)
        click.echo(f"user {email} is active")


@users_cli.command("password")
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def set_password(email: str, *, password_stdin: bool) -> None:
    """Give a person another password; their sessions and tokens end."""
    password, generated = _password(from_stdin=password_stdin)
    with _owner() as connection:
        users.set_password(connection, email, password)
        click.echo(f"user {email} has a new password" + (f": {password}" if generated else ""))


@keys_cli.command("add")
@click.option("--tenant", "slug", help="Slug of the client whose key it is.")
@click.option("--platform", is_flag=True, help="A key for clients who have none of their own.")
@click.option(
    "--provider", type=click.Choice(keys.PROVIDERS), default="mailtester", show_default=True
)
@click.option("--spacing-ms", type=int, default=250, show_default=True, help="Between two calls.")
@click.option(
    "--per-30s",
    type=int,
    default=165,
    show_default=True,
    help="Calls in any 30 s; 0: no such limit.",
)
@click.option(
    "--daily-limit", type=int, default=500_000, show_default=True, help="Calls a UTC day; 0: none."
)
@click.option("--notes", help="For people.")
@_if_missing
def add_key(
    *,
    slug: str | None,
    provider: str,
    spacing_ms: int,
    per_30s: int,
    daily_limit: int,
    notes: str | None,
    platform: bool,
    if_missing: bool,
) -> None:
    """Add a key; the key itself comes on standard input."""
    if bool(slug) == platform:
        raise click.UsageError("Say either --tenant SLUG or --platform.")
    secret = _read_stdin("key")
    with _owner() as connection, _maybe_there("this key", allowed=if_missing):
        tenant_id: UUID | None = tenants.find_tenant_id(connection, slug) if slug else None
        key_id = keys.add_key(
            connection,
            secret,
            tenant_id=tenant_id,
            provider=provider,
            spacing_ms=spacing_ms,
            per_30s=per_30s or None,
            daily_limit=daily_limit or None,
            notes=notes,
        )
        click.echo(f"key {key_id} of {slug or 'the platform'}")


@keys_cli.command("list")
def list_keys() -> None:
    """Show every key by its last four characters."""
    with _owner() as connection:
        for row in keys.list_keys(connection):
            state = "enabled" if row.is_enabled else "disabled"
            limits = f"{row.spacing_ms} ms\t{row.requests_per_window or '-'} / {row.window_seconds} s\t{row.daily_limit or '-'} / day"
            click.echo(
                f"{row.tenant_slug or 'platform'}\t{row.provider}\t…{row.hint}\t{limits}\t{state}\t{row.id}"
            )
