"""Lanes of clients in the ledger's world: rows of `worker_configs`, what the audit says, the looks of `tend_lanes`."""

import time
from collections.abc import Callable
from uuid import UUID, uuid4

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.db.scope import system_scope
from app.jobs import release as releasing
from tests.integration.ledger_world import World

SHARED = "verification-queue"
ACME = "verification-queue:client-acme"
PRESENCE_SECONDS = 15.0

_CONFIG = text("""
    INSERT INTO worker_configs (user_id, worker_mode, verification_queue, is_active)
    VALUES (:user, 'dedicated', :queue, :active) RETURNING id
""")


def add_client(world: World, slug: str) -> UUID:
    """Add a client with one person; return the person's id."""
    world.add_tenant(slug)
    return world.add_user(slug, f"{slug}@example.com")


def put_lane(
    connection: Connection, user: UUID, queue: str | None, *, is_active: bool = True
) -> UUID:
    """Write a row as an operator's psql would."""
    values = {"user": user, "queue": queue, "active": is_active}
    row: UUID = connection.execute(_CONFIG, values).scalar_one()
    return row


def give_lane(world: World, user: UUID, queue: str = ACME, *, is_active: bool = True) -> UUID:
    """Write a row and commit it."""
    with world.owner.begin() as c:
        return put_lane(c, user, queue, is_active=is_active)


def run(world: World, sql: str, **values: object) -> None:
    """Run a statement as the owner."""
    with world.owner.begin() as c:
        c.execute(text(sql), values)


def moves(world: World) -> list[tuple[object, ...]]:
    """Return (actor, client, from, to, chunks moved) of each change of a lane, the oldest first."""
    found = world.rows("SELECT * FROM audit_events WHERE action = 'lane.changed' ORDER BY id")
    return [
        (e["actor"], e["tenant_slug"], e["from_queue"], e["to_queue"], e["chunks_moved"])
        for e in found
    ]


def lane_in_force(world: World, slug: str) -> object:
    """Return the queue of a client's own lane in force, None for the shared one."""
    found = world.rows("SELECT queue FROM tenant_lanes WHERE tenant_id = :t", t=world.tenants[slug])
    return found[0]["queue"] if found else None


def tend(world: World) -> int:
    """Look at the lanes as every worker does now and then."""
    with system_scope(world.app) as c:
        return releasing.tend_lanes(c, PRESENCE_SECONDS)


def hint_of(error: DBAPIError) -> tuple[str, str]:
    """Return the constraint that an error names, and its hint."""
    diag = getattr(error.orig, "diag")  # noqa: B009 - psycopg2's, which the base class has not
    return str(diag.constraint_name), str(diag.message_hint)


def wait_until(is_so: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Look until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def waits_for_a_lock(world: World) -> bool:
    """Tell whether somebody waits for an advisory lock."""
    found = world.rows(
        """SELECT 1 AS x FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    )
    return bool(found)


def dismiss(world: World, queue: str) -> None:
    """Let the workers of a queue die: they were seen last a day ago."""
    run(
        world,
        "UPDATE workers SET last_seen = now() - interval '1 day' WHERE :q = ANY (queues)",
        q=queue,
    )


def new_id() -> UUID:
    """Return an id that nobody has."""
    return uuid4()
