"""A worker's first words: its environment is checked against the database, what it is stands in the log and in its presence."""

import time
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.exc import OperationalError

from app.db.scope import system_scope, tenant_scope
from app.jobs.lease import lift_holds
from app.settings import Settings, get_settings
from app.work.key_registry import public_facts
from routing import queues as queue_names
from routing.worker_configs import ClientLane, find_client
from tasks import worker_mode
from tasks.lane_watch import LaneWatch
from tasks.presence import Presence
from tasks.runtime import runtime
from tasks.worker_mode import DedicatedLane, EnvironmentKey

#: Servers that start together come up in any order; this long a worker waits for PostgreSQL.
DATABASE_PATIENCE_SECONDS = 30.0


def greet(queues: list[str], watch: LaneWatch | None = None) -> Presence:
    """Check the environment of this worker, log what it is, and return its presence (name and slots still to be set).

    `watch` remembers what was told of its lanes. Raises `Misconfigured`, and `OperationalError` when PostgreSQL does not come up.
    """
    settings = get_settings()
    keys = worker_mode.environment_keys(settings)
    presence = Presence(
        name="",
        mode=settings.worker_mode,
        slots=0,
        queues=queues,
        keys=[public_facts(key) for key in keys],
    )
    if settings.worker_mode == "dedicated":
        clients = _greet_clients(settings, keys, watch or watch_lanes(settings))
        # By their tenants: a person who moves takes neither keys nor worker along.
        presence.client_ids = list(clients.values())
        presence.keys = [
            {**public_facts(key), "client_id": key.client_id and str(clients[key.client_id])}
            for key in keys
        ]
        runtime.owners.update(clients)
    return presence


def watch_lanes(settings: Settings) -> LaneWatch:
    """Return the watch over this worker's lanes; a shared worker has none. Raises `Misconfigured`."""
    is_dedicated = settings.worker_mode == "dedicated"
    return LaneWatch(worker_mode.dedicated_lanes(settings) if is_dedicated else ())


def banner(lanes: Sequence[DedicatedLane], keys: Sequence[EnvironmentKey]) -> str:
    """Return the lines that a dedicated worker prints when it starts."""
    lines = ["🔒 DEDICATED WORKER MODE"]
    for lane in lanes:
        n = sum(key.client_id == lane.client for key in keys)
        lines += [
            f"   Client ID: {lane.client}",
            f"   Queue: {lane.queue}",
            f"   Keys: {n}"
            + ("" if n else " (none here: the client's keys of the database are used)"),
        ]
    lines += [f"🚀 Starting queue poller for: {lane.queue}" for lane in lanes]
    these = "this queue" if len(lanes) == 1 else "these queues"
    return "\n".join([*lines, f"🔒 Dedicated mode - processing only jobs from {these}"])


def check_clients(lanes: Sequence[DedicatedLane]) -> list[ClientLane]:
    """Return the lanes' clients as the database knows them, in their order.

    Raises `Misconfigured`, and `OperationalError` when PostgreSQL does not come up.
    """
    found = _find_clients(lanes)
    for lane, client in zip(lanes, found, strict=True):
        worker_mode.check_client(lane, client)
    clients = [client for client in found if client is not None]
    worker_mode.check_clients_differ(clients)
    return clients


def _greet_clients(
    settings: Settings, keys: Sequence[EnvironmentKey], watch: LaneWatch
) -> dict[UUID, UUID]:
    """Return which tenant each client of the environment is, in their order."""
    lanes = worker_mode.dedicated_lanes(settings)
    clients = check_clients(lanes)
    with_keys = {key.client_id for key in keys}
    for lane, client in zip(lanes, clients, strict=True):
        if lane.client in with_keys:
            # A hold was made by the keys of before; these may have something to give.
            with tenant_scope(client.tenant_id) as connection:
                lift_holds(connection, queue_names.KINDS["verify"].name)
    print(banner(lanes, keys), flush=True)
    watch.tell(clients)
    return {lane.client: client.tenant_id for lane, client in zip(lanes, clients, strict=True)}


def _find_clients(lanes: Sequence[DedicatedLane]) -> list[ClientLane | None]:
    deadline = time.monotonic() + DATABASE_PATIENCE_SECONDS
    while True:
        try:
            with system_scope() as connection:
                return [find_client(connection, lane.client) for lane in lanes]
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
