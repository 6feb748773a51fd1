"""A key's use is counted by its own day, which begins at its reset hour, and shown so."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.db.scope import system_scope
from app.work.key_usage import KeyUsage
from tests.conftest import Environment
from tests.integration.client_world import run
from tests.integration.ledger_world import World

KEY = "f" * 64


@pytest.fixture
def client(world: World, environment: Environment) -> World:
    run(world, "TRUNCATE key_usage, api_keys")
    world.add_tenant("acme")
    return world


def add_key(world: World, hour: int, *, changed: str = "now()") -> None:
    run(
        world,
        f"""INSERT INTO api_keys (tenant_id, fingerprint, secret_encrypted, hint, reset_hour, updated_at)
            VALUES (:t, :f, 'x', 'last', :h, {changed})""",
        t=world.add_tenant(f"client-{len(world.tenants)}"),
        f=KEY,
        h=hour,
    )


def shown(world: World) -> set[Any]:
    with system_scope(world.app) as c:
        return set(c.execute(text("SELECT used_today FROM keys_overview()")).scalars())


def days(world: World) -> list[Any]:
    return [row["day"] for row in world.rows("SELECT day FROM key_usage ORDER BY day")]


def day_from(hour: int) -> object:
    return (datetime.now(UTC) - timedelta(hours=hour)).date()


@pytest.mark.parametrize("hour", [0, 7, 23])
def test_calls_count_towards_the_keys_own_day(client: World, hour: int) -> None:
    add_key(client, hour)
    KeyUsage().add({KEY: 3})
    KeyUsage().add({KEY: 2})
    assert days(client) == [day_from(hour)]
    assert shown(client) == {5}
    assert KeyUsage().begin_use(KEY).used_today == 5


def test_what_was_used_before_the_turn_does_not_count(client: World) -> None:
    add_key(client, 5)
    KeyUsage().add({KEY: 3})
    run(
        client,
        "UPDATE key_usage SET day = day - 1, last_used_at = usage_since(fingerprint) - interval '1 ms'",
    )
    KeyUsage().add({KEY: 1})
    assert shown(client) == {1}
    assert KeyUsage().begin_use(KEY).used_today == 1


def test_the_utc_day_does_not_begin_a_keys_day_anew(client: World) -> None:
    """But for one hour, this key's day began yesterday: what it was used for since then counts past midnight."""
    add_key(client, 23)
    run(
        client,
        "INSERT INTO key_usage (fingerprint, day, used) VALUES (:f, :d, 7)",
        f=KEY,
        d=day_from(23),
    )
    KeyUsage().add({KEY: 1})
    assert shown(client) == {8}


def test_a_key_that_nobody_stored_has_the_utc_day(client: World) -> None:
    KeyUsage().add({KEY: 3})
    assert days(client) == [day_from(0)]


def test_of_several_rows_the_newest_says_when_the_day_begins(client: World) -> None:
    add_key(client, 0, changed="now() - interval '1 hour'")
    add_key(client, 23)
    KeyUsage().add({KEY: 3})
    assert days(client) == [day_from(23)]
    assert shown(client) == {3}


def write_row(world: World, day: object, used: int, last_used: str) -> None:
    run(
        world,
        f"INSERT INTO key_usage (fingerprint, day, used, last_used_at) VALUES (:f, :d, :u, {last_used})",
        f=KEY,
        d=day,
        u=used,
    )


def left_over(world: World) -> int:
    """What the limiter is told after a loss of its state."""
    return KeyUsage().begin_use(KEY).used_today


@pytest.mark.parametrize("hour", [0, 7, 23])
def test_days_of_before_do_not_count_however_large(client: World, hour: int) -> None:
    add_key(client, hour)
    for n in range(1, 4):
        day = day_from(hour + 24 * n)
        write_row(client, day, 900, f"usage_since(:f) - interval '{24 * n - 23} hours'")
    KeyUsage().add({KEY: 2})
    assert left_over(client) == 2


@pytest.mark.parametrize("day", [0, 23, 24, 47])
def test_a_row_of_another_numbering_counts_by_when_it_was_used(client: World, day: int) -> None:
    """Rows of before were dated by UTC; an hour that is changed dates them otherwise from then on."""
    add_key(client, 23)
    write_row(client, day_from(day), 7, "now() - interval '1 ms'")
    assert left_over(client) == 7


@pytest.mark.parametrize(("before", "after"), [(0, 23), (23, 0), (0, 7), (7, 0), (12, 13)])
def test_an_edited_hour_loses_no_call_of_the_day(client: World, before: int, after: int) -> None:
    add_key(client, before)
    KeyUsage().add({KEY: 5})
    run(client, "UPDATE api_keys SET reset_hour = :h", h=after)
    KeyUsage().add({KEY: 2})
    assert left_over(client) == 7


def test_a_key_that_a_live_worker_carries_has_the_utc_day_too(client: World) -> None:
    """Its row says another hour, which an environment can't; both of its days count."""
    now = datetime.now(UTC)
    add_key(client, now.hour)
    # Used since 0:00 UTC, but before this hour, with which its own day began.
    midnight = "date_trunc('day', now(), 'UTC')"
    write_row(client, day_from(now.hour + 24), 7, midnight)
    assert left_over(client) == (0 if now.hour else 7)
    run(
        client,
        """INSERT INTO workers (id, name, hostname, pid, queues, slots, last_seen, environment_keys)
           VALUES (gen_random_uuid(), 'w', 'h', 1, '{}', 1, now(), jsonb_build_array(jsonb_build_object('fingerprint', CAST(:f AS text))))""",
        f=KEY,
    )
    assert left_over(client) == 7


def test_a_row_that_is_switched_off_says_no_hour(client: World) -> None:
    add_key(client, 5)
    add_key(client, 23)
    run(client, "UPDATE api_keys SET is_enabled = false WHERE reset_hour = 23")
    KeyUsage().add({KEY: 3})
    assert days(client) == [day_from(5)]
