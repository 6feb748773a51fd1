"""The command line for keys: `flask --app app.factory keys …`. Secrets come on standard input and never go out."""

from typing import Any
from uuid import UUID

import click
from pydantic import SecretStr

from app.accounts import tenants
from app.accounts.command_line import if_missing_option, maybe_there, read_stdin
from app.clients import key_test, keys
from app.clients.command_line import WINDOW, login_name, owner, provider_limits, transaction
from app.clients.key_audit import reset_key
from app.clients.key_notices import enabled_notes, without_key
from app.clients.key_test_rate import count_key_test
from app.clients.printing import key_as_data, key_line, to_json
from app.clients.reencryption import reencrypt_all
from app.jobs.key_problems import problems_of
from app.plain_text import escaped
from app.settings import get_settings
from routing.rate_limits.limits import KeyState

keys_cli = click.Group("keys", help="The providers' keys.")


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
@click.option("--window", "windows", type=WINDOW, multiple=True, help="One more: 1000/3600s.")
@click.option("--daily-limit", type=int, default=500_000, show_default=True, help="0: none.")
@click.option(
    "--reset-hour",
    type=int,
    default=0,
    show_default=True,
    help="Hour (UTC) at which its day begins.",
)
@click.option("--notes", help="For people.")
@if_missing_option
def add_key(
    *,
    slug: str | None,
    platform: bool,
    provider: str,
    spacing_ms: int,
    per_30s: int,
    windows: tuple[tuple[int, int], ...],
    daily_limit: int,
    reset_hour: int,
    notes: str | None,
    if_missing: bool,
) -> None:
    """Add a key; the key itself comes on standard input."""
    if bool(slug) == platform:
        raise click.UsageError("Say either --tenant SLUG or --platform.")
    new = keys.NewKey(
        SecretStr(read_stdin("key")),
        provider=provider,
        spacing_ms=spacing_ms,
        per_30s=per_30s or None,
        daily_limit=daily_limit or None,
        reset_hour=reset_hour,
        extra_windows=windows,
        notes=notes,
    )
    with owner() as connection, maybe_there("this key", allowed=if_missing):
        tenant_id = tenants.find_tenant_id(connection, slug) if slug else None
        key_id = keys.add_key(connection, tenant_id, new)
        warnings = enabled_notes(connection, key_id)
        click.echo(f"key {key_id} of {slug or 'the platform'}")
        for warning in warnings:
            click.echo(f"look {warning}")


@keys_cli.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_keys(*, as_json: bool) -> None:
    """Show every key by its last four characters, with its limits and whether it is in force."""
    with owner() as connection:
        found = keys.list_keys(connection)
        problems = problems_of(connection, found)
    if as_json:
        states = _states(found)
        click.echo(to_json([key_as_data(key, states, problems) for key in found]))
        return
    for key in found:
        click.echo(key_line(key, {}, problems))


def _states(found: list[keys.KeyFacts]) -> dict[str, KeyState]:
    try:
        with provider_limits() as limiter:
            return dict(limiter.describe([key.fingerprint for key in found]))
    except click.ClickException:
        return {}


@keys_cli.command("edit")
@click.argument("key_id", metavar="ID", type=click.UUID)
@click.option("--spacing-ms", type=int, help="Between two calls.")
@click.option("--per-30s", type=int, help="Calls in any 30 s; 0: no such limit.")
@click.option("--window", "windows", type=WINDOW, multiple=True, help="All others: 1000/3600s.")
@click.option("--no-windows", is_flag=True, help="No windows but that of 30 s.")
@click.option("--daily-limit", type=int, help="Calls a day; 0: none.")
@click.option("--reset-hour", type=int, help="Hour (UTC) at which its day begins.")
@click.option("--enable/--disable", "is_enabled", default=None, help="Whether it may be used.")
@click.option("--notes", help="For people; empty: none.")
def edit_key(
    key_id: UUID,
    *,
    spacing_ms: int | None,
    per_30s: int | None,
    windows: tuple[tuple[int, int], ...],
    no_windows: bool,
    daily_limit: int | None,
    reset_hour: int | None,
    is_enabled: bool | None,
    notes: str | None,
) -> None:
    """Change a key's limits; workers take them up at once."""
    given: dict[str, Any] = {
        "spacing_ms": spacing_ms,
        "per_30s": per_30s,
        "extra_windows": () if no_windows else windows or None,
        "daily_limit": daily_limit,
        "reset_hour": reset_hour,
        "is_enabled": is_enabled,
        "notes": notes,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    for name in ("per_30s", "daily_limit", "notes"):
        if name in settings:
            # 0 and the empty text stand for none.
            settings[name] = settings[name] or None
    if not settings:
        raise click.UsageError("Say what to change: --spacing-ms, --daily-limit, …")
    with owner() as connection:
        follows = without_key(connection, key_id) if is_enabled is False else None
        changes = keys.edit_key(connection, key_id, **settings)
        shared = enabled_notes(connection, key_id) if "is_enabled" in changes and is_enabled else []
    for name, (old, new) in changes.items():
        click.echo(escaped(f"{name} {old} -> {new}"))
    for warning in [follows] if follows else shared:
        click.echo(f"look {warning}")
    if not changes:
        click.echo("nothing changed: it was so")


@keys_cli.command("remove")
@click.argument("key_id", metavar="ID", type=click.UUID)
@click.option("--yes", is_flag=True, help="Don't ask.")
def remove_key(key_id: UUID, *, yes: bool) -> None:
    """Take a key away for good; workers stop using it at once."""
    with owner() as connection:
        key = keys.key_facts(connection, key_id)
        follows = without_key(connection, key_id)
    whose = key.tenant_slug or "the platform"
    if follows:
        click.echo(f"look {follows}")
    if not yes:
        click.confirm(f"Remove the key …{key.hint} of {whose}?", abort=True)
    with owner() as connection:
        keys.remove_key(connection, key_id)
    click.echo(f"key …{key.hint} of {whose} is removed")


@keys_cli.command("test")
@click.argument("key_id", metavar="ID", type=click.UUID)
@click.option("--address", default=key_test.TEST_ADDRESS, show_default=True)
def test_one_key(key_id: UUID, *, address: str) -> None:
    """Make one call with a key, within its limits; exit code 1 when it isn't answered with a verdict.

    Ten times a minute by one person, as over the API and on the pages.
    """
    with provider_limits() as limiter:
        count_key_test(get_settings().redis_url, f"cli:{login_name()}")
        tried = key_test.test_key(
            transaction, key_id, limiter=limiter, settings=get_settings(), address=address
        )
    click.echo(escaped(f"{'ok' if tried.ok else 'failed'} {tried.words}"))
    if not tried.ok:
        raise SystemExit(1)


@keys_cli.command("reset")
@click.argument("key_id", metavar="ID", type=click.UUID)
def reset_one_key(key_id: UUID) -> None:
    """Let a key that rests after errors be used again at once."""
    with provider_limits() as limiter:
        hint, state = reset_key(transaction, key_id, limiter)
    said = f"may be used again (circuit {state})" if state else "was not in use yet"
    click.echo(f"key …{hint} {said}; what waited for it goes on")


@keys_cli.command("reencrypt")
def reencrypt_keys() -> None:
    """Encrypt every stored secret with the first of ENCRYPTION_KEYS: all of them or none. May be repeated."""
    with owner() as connection:
        done = reencrypt_all(connection)
    click.echo(
        f"{done.changed} secrets encrypted anew, {done.unchanged} had the newest key already"
    )
    click.echo("ENCRYPTION_KEYS may now lose its older keys, in every process.")
