"""What this worker is: shared, or dedicated to one client or several, with what that asks of its environment.

A dedicated worker consumes only the queues of VERIFICATION_QUEUE, for the clients of DEDICATED_CLIENT_ID in the same
order, with the keys of its environment. What can't be right is refused at start with a sentence that says what to change;
what may be on purpose is a warning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from pydantic import SecretStr

from app.errors import Misconfigured
from app.settings import Settings
from routing import queues
from routing.worker_configs import ClientLane

T = TypeVar("T")
LISTS = {
    "MAILTESTER_KEY_SPACINGS": "mailtester_key_spacings",
    "MAILTESTER_KEY_DAILY_LIMITS": "mailtester_key_daily_limits",
    "MAILTESTER_KEY_REQUESTS_PER_30S": "mailtester_key_requests_per_30s",
}
#: Fewer than this. A worker asks for its next wake-up in all of its queues, one after the other in one command.
TOO_MANY_QUEUES = 50


@dataclass(frozen=True)
class DedicatedLane:
    """One client of a dedicated worker and its queue."""

    client: UUID
    queue: str


@dataclass(frozen=True)
class EnvironmentKey:
    """One provider key of the environment with its limits. `client_id` None: a shared worker's."""

    secret: SecretStr
    spacing_ms: int
    daily_limit: int
    requests_per_30s: int
    client_id: UUID | None = None


def consumed_queues(settings: Settings) -> list[str]:
    """Return the queues that a worker consumes when its command line names none."""
    if settings.worker_mode == "dedicated":
        # Without a name the worker is refused before it consumes anything (`dedicated_lanes`).
        return settings.verification_queue
    return [queues.INGEST, queues.VERIFICATION, queues.MAINTENANCE]


def dedicated_lanes(settings: Settings) -> list[DedicatedLane]:
    """Return the lanes of a dedicated worker. Raises `Misconfigured` when they can't be what is meant."""
    clients = [_client(written) for written in settings.dedicated_client_id or [""]]
    names = settings.verification_queue
    if not names:
        raise Misconfigured(
            "WORKER_MODE=dedicated needs VERIFICATION_QUEUE: the verification_queue of the client's row in worker_configs."
        )
    if len(names) != len(clients):
        raise Misconfigured(
            f"VERIFICATION_QUEUE has {_count(len(names), 'queue')} but DEDICATED_CLIENT_ID has "
            f"{_count(len(clients), 'client')}: give each client its queue, in the same order, separated by commas."
        )
    _refuse_twice("VERIFICATION_QUEUE", names)
    _refuse_twice("DEDICATED_CLIENT_ID", [str(client) for client in clients])
    if len(names) >= TOO_MANY_QUEUES:
        raise Misconfigured(
            f"VERIFICATION_QUEUE has {len(names)} queues; a worker serves at most {TOO_MANY_QUEUES - 1}, because each "
            "wake-up asks Redis about all of them. Start a second worker and give it some of the clients."
        )
    return [DedicatedLane(*lane) for lane in zip(clients, names, strict=True)]


def environment_keys(settings: Settings) -> list[EnvironmentKey]:
    """Return the keys of the environment. Raises `Misconfigured` when the lists differ in length or a number is no limit."""
    clients: Sequence[UUID | None] = [None]
    if settings.worker_mode == "dedicated":
        clients = [lane.client for lane in dedicated_lanes(settings)]
    secrets = _groups("MAILTESTER_API_KEYS", settings.mailtester_api_keys, clients)
    columns = {
        variable: _groups(variable, getattr(settings, field), clients)
        for variable, field in LISTS.items()
    }
    return [
        key
        for n, client in enumerate(clients)
        for key in _keys_of(
            client,
            secrets[n],
            {name: column[n] for name, column in columns.items()},
            where="" if len(clients) == 1 else f" for the client {client}",
        )
    ]


def check_client(dedicated: DedicatedLane, lane: ClientLane | None) -> str | None:
    """Check a client of a dedicated worker against the database.

    Returns a warning when its row names another queue, None when all is well. Raises `Misconfigured` when there is
    no such client.
    """
    if lane is None:
        raise Misconfigured(
            f"DEDICATED_CLIENT_ID={dedicated.client} is neither a user nor a client of this database. "
            "Its id stands in the table users, beside its e-mail address."
        )
    if lane.queue is None:
        return (
            f"The client {lane.tenant_slug} has no active dedicated row in worker_configs, so its work goes to the shared "
            f"lane and this worker will get none. It starts at once when the row is there: no restart needed."
        )
    if lane.queue != dedicated.queue:
        return (
            f"The client {lane.tenant_slug} is routed to {lane.queue}, but this worker consumes {dedicated.queue}: it will "
            f"get no work. Make VERIFICATION_QUEUE and worker_configs.verification_queue the same."
        )
    return None


def check_clients_differ(lanes: Sequence[ClientLane]) -> None:
    """Raise `Misconfigured` when two ids name the same client: it has one lane, and one set of keys."""
    slugs = [lane.tenant_slug for lane in lanes]
    if twice := [slug for slug in slugs if slugs.count(slug) > 1]:
        raise Misconfigured(
            f"DEDICATED_CLIENT_ID names the client {twice[0]} twice, by two ids: a client has one lane. Name it once."
        )


def _client(written: str) -> UUID:
    try:
        return UUID(written)
    except ValueError:
        raise Misconfigured(
            "WORKER_MODE=dedicated needs DEDICATED_CLIENT_ID: the UUID of the client's user "
            "(SELECT id FROM users WHERE email = '...')."
        ) from None


def _refuse_twice(variable: str, values: Sequence[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise Misconfigured(f"{variable} has {value} twice: name it once.")


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _groups(
    variable: str, groups: Sequence[Sequence[T]], clients: Sequence[UUID | None]
) -> Sequence[Sequence[T]]:
    """Return one group a client; without any all are empty."""
    if not groups:
        return [[] for _ in clients]
    if len(groups) == len(clients):
        return groups
    if clients[0] is None:
        raise Misconfigured(
            f"{variable} has a semicolon, which stands between the keys of a dedicated worker's clients. "
            "A shared worker has one list: separate its entries by commas."
        )
    raise Misconfigured(
        f"{variable} has {_count(len(groups), 'group')} but DEDICATED_CLIENT_ID has {_count(len(clients), 'client')}: "
        "separate the clients' groups by semicolons, in the order of the clients. An empty group, or no list at all, "
        "stands for the keys in the database."
    )


def _keys_of(
    client: UUID | None,
    secrets: Sequence[SecretStr],
    columns: dict[str, Sequence[int]],
    *,
    where: str,
) -> list[EnvironmentKey]:
    for variable, numbers in columns.items():
        if len(numbers) != len(secrets):
            raise Misconfigured(
                f"MAILTESTER_API_KEYS has {len(secrets)} entries but {variable} has {len(numbers)}{where}: "
                f"give each key its number, in the same order, separated by commas."
            )
        lowest = 0 if variable == "MAILTESTER_KEY_SPACINGS" else 1
        if any(number < lowest for number in numbers):
            raise Misconfigured(f"{variable} has a number below {lowest}.")
    return [
        EnvironmentKey(secret, spacing, daily, window, client)
        for secret, spacing, daily, window in zip(secrets, *columns.values(), strict=True)
    ]
