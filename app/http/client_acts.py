"""What operators see of clients and do to them, for the API and the pages alike.

Each act is one transaction in the name of the person who asks, so that the audit says who it was; after the commit a
round of the dispatcher is asked for, because the act may have moved work to another lane.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from app.clients import clients as rules
from app.clients import onboarding
from app.clients.actor import acting_as
from app.clients.capacity import Capacity, capacity
from app.clients.chain import chain_notes
from app.clients.clients import AuditRow, ClientRow, LaneChange
from app.clients.key_notices import shared_with
from app.clients.key_notices import usable as usable_ones
from app.clients.keys import KeyFacts, NewKey, add_key, client_keys, in_one_order, serving_keys
from app.clients.new_client import namesake_notes, suggest_slug
from app.clients.onboarding import Onboarded, Onboarding
from app.clients.worker_files import WorkerFormat, worker_files
from app.db.refusals import refusals_explained
from app.db.scope import system_scope
from app.errors import InvalidInput, NotFound
from app.http.auth import require_account
from app.http.extensions import broker, dispatch_soon, provider_limits
from app.http.models_clients import ClientChangeIn, OnboardIn
from app.http.models_keys import KeyIn, KeyLimitsIn
from app.jobs.provider_keys import KeyRow, key_overview
from app.settings import get_settings
from app.work.key_forms import ENVIRONMENT_PROVIDER
from routing import queues


@dataclass(frozen=True)
class ClientDetail:
    """A client with its keys. `platform_keys`: whether the platform's serve it; `capacity` is of those that do.

    `keys` are its own with their health, `usable` those of them that are enabled, wherever they are; `serving` are those,
    whosever, that verify its rows.
    """

    client: ClientRow
    keys: list[KeyRow]
    usable: list[KeyFacts]
    serving: list[KeyFacts]
    platform_keys: bool
    capacity: Capacity


@dataclass(frozen=True)
class Changed:
    """A client after an act, what became of its lane (None: nothing), and what wants a look."""

    detail: ClientDetail
    change: LaneChange | None
    warnings: tuple[str, ...] = ()


@contextmanager
def signing() -> Iterator[Connection]:
    """Open a transaction in the name of who asks; what the database refuses, also at the commit, is explained."""
    account = require_account()
    with refusals_explained(), system_scope() as connection:
        acting_as(connection, account.email)
        yield connection


@contextmanager
def acting() -> Iterator[Connection]:
    """Open such a transaction; have released, after the commit, what changed its lane."""
    with signing() as connection:
        yield connection
    dispatch_soon()


def presence_seconds() -> float:
    """Return after how long without a sign of life a worker counts as gone."""
    return get_settings().presence_timeout_seconds


def read_clients(
    search: str | None = None, after: str | None = None, limit: int | None = None
) -> tuple[list[ClientRow], bool]:
    """Return a page of the clients as they stand, by slug (`limit` None: all), and whether there is more."""
    wanted = None if limit is None else limit + 1
    with system_scope() as connection:
        found = rules.list_clients(
            connection, presence_seconds(), search=search, after=after, limit=wanted
        )
    return found[:limit], limit is not None and len(found) > limit


def read_client(name: str) -> ClientRow:
    """Return a client by slug, id or a person's address. Raises `NotFound`."""
    with system_scope() as connection:
        return rules.get_client(connection, name, presence_seconds())


def read_detail(name: str) -> ClientDetail:
    """Return a client with its keys and what they come to. Raises `NotFound`."""
    with system_scope() as connection:
        return _detail(connection, name)


def _detail(connection: Connection, name: str) -> ClientDetail:
    client = rules.get_client(connection, name, presence_seconds())
    own = key_overview(connection, provider_limits() if broker().is_up() else None, client.id)
    serving = usable_ones(connection, serving_keys(connection, client))
    by_platform = any(key.tenant_id is None for key in serving)
    # Those that a worker can carry, and is started with.
    usable = [
        key
        for key in client_keys(connection, client)
        if key.is_enabled and key.provider == ENVIRONMENT_PROVIDER
    ]
    return ClientDetail(client, own, usable, serving, by_platform, capacity(serving))


def read_history(
    tenant_id: UUID | None, limit: int, before: int | None
) -> tuple[list[AuditRow], bool]:
    """Return a page of what was changed, the newest first, and whether there is more."""
    with system_scope() as connection:
        found = rules.history(connection, tenant_id, limit + 1, before)
    return found[:limit], len(found) > limit


def suggest_queue(slug: str) -> str:
    """Return the name that a client's own lane is given where nobody chose another."""
    return f"{queues.DEDICATED_PREFIX}client-{slug.strip('-')}"


def as_new_keys(keys: Sequence[KeyIn]) -> list[NewKey]:
    """Return keys as the rules take them."""
    return [NewKey(**{**dict(key), "extra_windows": windows(key)}) for key in keys]


def windows(key: KeyLimitsIn) -> tuple[tuple[int, int], ...]:
    """Return further windows as the rules take them: (calls, seconds) each."""
    return tuple((window.requests, window.seconds) for window in key.extra_windows)


def onboard(asked: OnboardIn) -> Onboarded:
    """Give a client a lane and keys of its own; doing it again changes nothing."""
    with acting() as connection:
        return onboarding.onboard(connection, _order(connection, asked))


def review(asked: OnboardIn) -> tuple[Onboarding, ClientRow | None, tuple[str, ...]]:
    """Return what would be done, for whom (None: a new client), and the warnings. Raises what is known to be in the way."""
    with system_scope() as connection:
        order = _order(connection, asked)
        client = onboarding.expected_client(connection, order)
        return order, client, onboarding.foreseen(connection, order, client)


def _order(connection: Connection, asked: OnboardIn) -> Onboarding:
    slug = (asked.slug or suggest_slug(asked.name)) if asked.name else None
    whose = slug or _client_of(connection, asked.email)
    return Onboarding(
        email=asked.email,
        queue=asked.queue or suggest_queue(whose),
        keys=as_new_keys(asked.keys),
        notes=asked.notes,
        name=asked.name,
        slug=slug,
    )


def _client_of(connection: Connection, email: str) -> str:
    try:
        return rules.get_client(connection, email, presence_seconds()).slug
    except NotFound as error:
        how = "Is it a new client's? Then give the client's name, and both are made."
        raise NotFound(f"{error.message} {how}") from error


def change_client(name: str, asked: ClientChangeIn) -> Changed:
    """Change settings and lane together or not at all."""
    change, warnings = None, list[str]()
    with acting() as connection:
        client = rules.get_client(connection, name, presence_seconds())
        if asked.settings:
            changes = rules.change_settings(connection, client.id, **asked.settings)
            if "name" in changes:
                warnings += namesake_notes(connection, asked.name, client.slug)
            if "enrichment_chain" in changes:
                warnings += chain_notes(connection, client, asked.enrichment_chain)
        if "queue" in asked.model_fields_set:
            change = _move(connection, client, asked.queue)
        elif "active" in asked.model_fields_set:
            switch = rules.enable if asked.active else rules.rollback
            change = switch(connection, client.id)
    # After the commit: Redis is asked too, and nobody shall wait for it on what was locked.
    return Changed(read_detail(client.slug), change, tuple(warnings))


def _move(connection: Connection, client: ClientRow, queue: str) -> LaneChange:
    if client.user_email is None:
        raise InvalidInput(
            f"The client {client.slug} has no lane of its own yet: onboard it first.", field="queue"
        )
    order = Onboarding(email=client.user_email, queue=queue)
    return onboarding.onboard(connection, order).change


def remove_lane(name: str) -> Changed:
    """Take a client's lane away for good; its work goes to the shared one, its keys stay."""
    with acting() as connection:
        client = rules.get_client(connection, name, presence_seconds())
        change = rules.remove(connection, client.id)
    return Changed(read_detail(client.slug), change)


def add_keys(name: str, keys: Sequence[KeyIn]) -> tuple[list[UUID], list[str]]:
    """Add keys of a client, all or none; return their ids in the order given, and what wants a look."""
    new = as_new_keys(keys)
    with acting() as connection:
        client = rules.get_client(connection, name, presence_seconds())
        ids = {key.fingerprint: add_key(connection, client.id, key) for key in in_one_order(new)}
        warnings = shared_with(connection, client.slug, new)
    return [ids[key.fingerprint] for key in new], warnings


def files_of(
    detail: ClientDetail, *, keys_in_environment: bool | None = None
) -> Mapping[WorkerFormat, str]:
    """Return what a worker of the client is started with, by form. Raises `Conflict` for one without a lane.

    `keys_in_environment` None: as it is now, with the database for a client that has no key yet.
    """
    carried = [key for key in detail.usable if key.source == "environment"]
    stored = [key for key in detail.usable if key.source == "database"]
    in_environment = bool(carried) if keys_in_environment is None else keys_in_environment
    return worker_files(detail.client, in_environment, carried or stored)
