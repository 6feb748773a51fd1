"""The clients as operators see and steer them: settings, the lane as configured and as in force, what was changed."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from app.clients.rows import AuditRow, ClientRow, LaneChange
from app.clients.setting_rules import KEY_POLICIES, KeyPolicy, check_settings
from app.db.refusals import refusals_explained
from app.errors import Conflict, NotFound
from app.jobs.holds import read_holds
from routing.queues import VERIFICATION

__all__ = [
    "KEY_POLICIES",
    "AuditRow",
    "ClientRow",
    "KeyPolicy",
    "LaneChange",
    "change_settings",
    "enable",
    "get_client",
    "history",
    "list_clients",
    "lock_client",
    "remove",
    "rollback",
    "watch_lane",
]
_SOME = text("""
    SELECT * FROM clients_overview(:presence, ARRAY(SELECT find_clients(:search, :after, :limit)))
""")
_ONE = text("SELECT * FROM clients_overview(:presence, ARRAY[CAST(:tenant AS uuid)])")
_BY_EMAIL = text("SELECT tenant_id FROM auth_user(:email)")
_BY_ID = text("SELECT tenant_id, queue FROM client_lane(:id)")
_BY_SLUG = text("SELECT tenant_id_of(:slug)")
_LOCK = text("SELECT lock_client(:tenant)")
_SET = text("SELECT client_set(:tenant, CAST(:settings AS jsonb))")
_SET_ACTIVE = text("SELECT client_set_active(:tenant, :active)")
_REMOVE = text("SELECT client_remove_lane(:tenant)")
_CHAINS = text("SELECT * FROM client_orders(:tenants)")
_AUDIT = text("SELECT * FROM audit_log(:tenant, :limit, :before)")


def list_clients(
    connection: Connection,
    presence_seconds: float,
    *,
    search: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> list[ClientRow]:
    """Return clients, by slug. A worker counts as alive that was seen within `presence_seconds`.

    `search` is any part of slug, name, a person's e-mail or a queue; `after` the slug to go on from. Costs what it returns.
    """
    values = {
        "presence": presence_seconds,
        "search": _readable(search or "") or None,
        "after": after,
        "limit": limit,
    }
    return _completed(
        connection, [ClientRow(**row._mapping) for row in connection.execute(_SOME, values)]
    )


def _completed(connection: Connection, clients: list[ClientRow]) -> list[ClientRow]:
    """Return clients with their holds and their chains."""
    if not clients:
        return clients
    ids = [client.id for client in clients]
    holds = {held.tenant_id: held.hold for held in read_holds(connection, ids)}
    chains = {row.tenant_id: row for row in connection.execute(_CHAINS, {"tenants": ids})}
    return [
        replace(client, hold=holds.get(client.id), **_chain(chains.get(client.id)))
        for client in clients
    ]


def _chain(row: Row[Any] | None) -> dict[str, Any]:
    """Return what a client has set of its chain and its order; of most clients nothing."""
    if row is None:
        return {}
    chain = None if row.chain is None else tuple(row.chain)
    return {"enrichment_chain": chain, "enrichment_cheapest_first": row.cheapest_first}


def get_client(connection: Connection, name: str | UUID, presence_seconds: float) -> ClientRow:
    """Return the client that a slug, a tenant's id, a user's id or a person's e-mail names. Raises `NotFound`."""
    wanted = _readable(str(name))
    values = {"presence": presence_seconds, "tenant": _find_tenant(connection, wanted)}
    row = connection.execute(_ONE, values).one_or_none()
    if row is None:
        raise NotFound(
            f"There is no client {wanted!r}; `clients list` shows them. Give its short name, an id, or a person's e-mail."
        )
    return _completed(connection, [ClientRow(**row._mapping)])[0]


def _readable(name: str) -> str:
    # PostgreSQL has no text with NUL in it: nobody has such a name.
    return name.replace("\0", "\N{REPLACEMENT CHARACTER}").strip()


def _find_tenant(connection: Connection, wanted: str) -> UUID | None:
    if "@" in wanted:
        person = connection.execute(_BY_EMAIL, {"email": wanted}).one_or_none()
        if person is None:
            raise NotFound(f"There is no user {wanted.lower()}.")
        if person.tenant_id is None:
            raise NotFound(
                f"{wanted.lower()} belongs to no client: an operator of the installation."
            )
        return UUID(str(person.tenant_id))
    # First, because SQL may have written a short name that reads as an id.
    if found := connection.execute(_BY_SLUG, {"slug": wanted.lower()}).scalar_one():
        return UUID(str(found))
    try:
        id_ = UUID(wanted)
    except ValueError:
        return None
    found = connection.execute(_BY_ID, {"id": id_}).scalar_one_or_none()
    return UUID(str(found)) if found else id_


def history(
    connection: Connection,
    tenant_id: UUID | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[AuditRow]:
    """Return what was changed, newest first: of a client or of all; `before` is the id to go on from.

    At most 501: the longest page, and whether there is another.
    """
    values = {"tenant": tenant_id, "limit": max(1, limit), "before": before}
    return [AuditRow(**row._mapping) for row in connection.execute(_AUDIT, values)]


def change_settings(
    connection: Connection, tenant_id: UUID, **settings: object
) -> dict[str, tuple[Any, Any]]:
    """Change a client's settings; return {setting: (before, after)} of those that are others now.

    `name`, `weight` (1 to 100), `max_in_flight`, `max_in_flight_per_job`, `fallback_after_seconds` (30 or more),
    `key_policy`, `enrichment_chain` (names of providers) and `enrichment_cheapest_first` (true or false); None empties one of
    the middle three and the chain. Raises `InvalidInput` or `NotFound`.
    """
    check_settings(settings)
    values = {"tenant": tenant_id, "settings": json.dumps(settings)}
    with refusals_explained():
        changes = connection.execute(_SET, values).scalar_one()
    if changes is None:
        raise NotFound("There is no such client; `clients list` shows them.")
    return {name: (old, new) for name, (old, new) in changes.items()}


def lock_client(connection: Connection, tenant_id: UUID) -> None:
    """Wait until nobody else changes this client's lane, and keep others waiting until the end of the transaction."""
    connection.execute(_LOCK, {"tenant": tenant_id})


def rollback(connection: Connection, tenant_id: UUID) -> LaneChange:
    """Send a client's work to the shared lane; its row stays, out of use. No change where it is there already."""
    return watch_lane(
        connection,
        tenant_id,
        lambda: connection.execute(_SET_ACTIVE, {"tenant": tenant_id, "active": False}),
    )


def enable(connection: Connection, tenant_id: UUID) -> LaneChange:
    """Put a client's newest row in force again. Raises `Conflict` when it has none, or its lane is another's now."""
    change = watch_lane(
        connection,
        tenant_id,
        lambda: connection.execute(_SET_ACTIVE, {"tenant": tenant_id, "active": True}),
    )
    # Presence does not matter to what is read here.
    if not change.is_change and not get_client(connection, tenant_id, 15.0).is_active:
        raise Conflict(
            "This client has no lane to put back: it never had one, or it was removed. `clients onboard` gives it one."
        )
    return change


def remove(connection: Connection, tenant_id: UUID) -> LaneChange:
    """Take a client's rows in `worker_configs` away for good; its work goes to the shared lane. Its keys stay."""
    return watch_lane(
        connection, tenant_id, lambda: connection.execute(_REMOVE, {"tenant": tenant_id})
    )


def watch_lane(connection: Connection, tenant_id: UUID, act: Callable[[], object]) -> LaneChange:
    """Do `act` and return what it changed of the client's lane, as the audit of this transaction tells it."""
    with refusals_explained():
        lock_client(connection, tenant_id)
    before = _lane(connection, tenant_id)
    newest = max((row.id for row in history(connection, tenant_id, 1)), default=0)
    with refusals_explained():
        act()
    after = _lane(connection, tenant_id)
    moves = [
        row
        for row in history(connection, tenant_id, 10)
        if row.id > newest and row.action == "lane.changed" and row.to_queue == after
    ]
    if not moves or before == after:
        return LaneChange(after, after, 0)
    moved = moves[0].chunks_moved or 0
    # Presence does not matter to what is read here.
    running = get_client(connection, tenant_id, 15.0).running
    return LaneChange(moves[0].from_queue or before, after, moved, running)


def _lane(connection: Connection, tenant_id: UUID) -> str:
    """Return the lane in force."""
    row = connection.execute(_BY_ID, {"id": tenant_id}).one_or_none()
    if row is None:
        raise NotFound("There is no such client; `clients list` shows them.")
    return row.queue or VERIFICATION
