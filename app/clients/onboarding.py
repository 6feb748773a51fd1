"""Give a client a lane of its own with its keys: everything or nothing, and safe to repeat."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from app.accounts.users import normalise_email
from app.clients.clients import ClientRow, LaneChange, get_client, lock_client, watch_lane
from app.clients.key_notices import shared_with
from app.clients.keys import NewKey, add_key, in_one_order, keys_of
from app.clients.new_client import check_new, make_client, namesake_notes
from app.errors import Conflict, Contradiction, InvalidInput, NotFound
from app.plain_text import require_plain
from routing.queues import DEDICATED_PREFIX, VERIFICATION

_PERSON = text("SELECT id, tenant_id, tenant_slug FROM auth_user(:email)")
_SET_LANE = text("SELECT client_set_lane(:user, :queue, :hint, :notes)")
PRESENCE_SECONDS = 15.0


@dataclass(frozen=True)
class Onboarding:
    """Who gets which lane with which keys. No keys: they will be in the worker's environment, or are there already.

    With `slug` (and `name`) a client and a person that do not exist are made first.
    """

    email: str
    queue: str
    keys: Sequence[NewKey] = field(default_factory=tuple)
    notes: str | None = None
    name: str | None = None
    slug: str | None = None


@dataclass(frozen=True)
class Onboarded:
    """What came of it: the client as it is now, its keys in the order given, and what moved.

    `added` are those of `key_ids` that were not there before; `hint` are the keys' last four characters; `password` is the
    one made up for a new person, to be told once; `warnings` are what was done all the same and wants a look.
    """

    client: ClientRow
    key_ids: tuple[UUID, ...]
    change: LaneChange
    hint: str | None
    added: tuple[UUID, ...] = ()
    password: str | None = None
    warnings: tuple[str, ...] = ()


def onboard(connection: Connection, request: Onboarding) -> Onboarded:
    """Put a client on its lane with its keys; the caller commits.

    A key that the client has stays as it is, limits too. Repeating changes nothing. Raises `NotFound` for a person that is
    not there, `InvalidInput`, or `Conflict` when the lane is another client's; then nothing of it is done.
    """
    queue = request.queue.strip()
    require_plain("The lane's name", queue)
    require_plain("Notes", request.notes or "", lines=True)
    if queue == VERIFICATION:
        raise InvalidInput(
            f"{VERIFICATION} is the shared lane. A lane of its own is named {DEDICATED_PREFIX}client-acme."
        )
    prints = [key.fingerprint for key in request.keys]
    if len(set(prints)) != len(prints):
        raise InvalidInput("The same key is given twice.")
    with connection.begin_nested():
        user_id, tenant_id, password = _person(connection, request)
        # Before the keys: two who add the same ones in another order would wait for each other.
        lock_client(connection, tenant_id)
        key_ids, added = _add_keys(connection, tenant_id, request.keys)
        hint = ",".join(key.hint for key in request.keys) or None
        change = watch_lane(
            connection,
            tenant_id,
            lambda: _set_lane(connection, user_id, queue, hint, request.notes),
        )
        client = get_client(connection, tenant_id, PRESENCE_SECONDS)
        new_name = client.name if password else None
        warnings = _warnings(connection, request, client.slug, new_name)
    return Onboarded(client, key_ids, change, client.api_key_hint, added, password, warnings)


def foreseen(
    connection: Connection, request: Onboarding, client: ClientRow | None
) -> tuple[str, ...]:
    """Return the warnings that `onboard` would give; `client` is whom the order is for (`expected_client`)."""
    slug = client.slug if client else request.slug or ""
    return _warnings(connection, request, slug, None if client else _new(request)[0])


def _warnings(
    connection: Connection, request: Onboarding, slug: str, new_name: str | None
) -> tuple[str, ...]:
    named = namesake_notes(connection, new_name, slug) if new_name else []
    return (*named, *shared_with(connection, slug, request.keys))


def expected_client(connection: Connection, request: Onboarding) -> ClientRow | None:
    """Return whom an order is for; None: a client that `onboard` would make. Raises what is known to be in the way."""
    person = _find_person(connection, request)
    if person is not None:
        return get_client(connection, person.tenant_id, PRESENCE_SECONDS)
    check_new(connection, *_new(request))
    return None


def _person(connection: Connection, request: Onboarding) -> tuple[UUID, UUID, str | None]:
    person = _find_person(connection, request)
    if person is not None:
        return person.id, person.tenant_id, None
    try:
        with connection.begin_nested():
            made = make_client(connection, *_new(request))
    except Conflict:
        # The same order, sent twice, may have been carried out since the person was looked for.
        person = _find_person(connection, request)
        if person is None:
            raise
        return person.id, person.tenant_id, None
    return made.user_id, made.tenant_id, made.password


def _new(request: Onboarding) -> tuple[str, str, str]:
    """Return name, slug and e-mail of what is to be made."""
    slug = request.slug or ""
    return request.name or slug, slug, _email(request)


def _email(request: Onboarding) -> str:
    return normalise_email(request.email).replace("\0", "")


def _find_person(connection: Connection, request: Onboarding) -> Row[Any] | None:
    """Return the person; None: is to be made."""
    email = _email(request)
    person = connection.execute(_PERSON, {"email": email}).one_or_none()
    if person is None and not request.slug:
        raise NotFound(
            f"There is no user {email}. Add the client and the person first (`tenants create`, `users create`), "
            "or let this do it: --create --name NAME --slug SLUG."
        )
    if person is None:
        return None
    if person.tenant_id is None:
        raise InvalidInput(
            f"{email} is an operator of the installation and belongs to no client. Give the e-mail of one of the client's people."
        )
    if request.slug and request.slug != person.tenant_slug:
        raise Conflict(
            f"{email} belongs to the client {person.tenant_slug}, not to {request.slug}."
        )
    return person


def _add_keys(
    connection: Connection, tenant_id: UUID, keys: Sequence[NewKey]
) -> tuple[tuple[UUID, ...], tuple[UUID, ...]]:
    """Return the keys' ids in the order given, and of these the ones that are new."""
    there = _stored(connection, tenant_id)
    added = []
    for key in in_one_order(keys):
        name = (key.provider, key.fingerprint)
        if name not in there:
            try:
                there[name] = add_key(connection, tenant_id, key)
                added.append(there[name])
            except Contradiction:
                raise
            except Conflict:
                # Somebody else has added it since: it is there now.
                there = _stored(connection, tenant_id)
    ids = tuple(there[key.provider, key.fingerprint] for key in keys)
    return ids, tuple(key_id for key_id in ids if key_id in added)


def _stored(connection: Connection, tenant_id: UUID) -> dict[tuple[str, str], UUID]:
    return {
        (key.provider, key.fingerprint): key.id
        for key in keys_of(connection, tenant_id)
        if key.id is not None
    }


def _set_lane(
    connection: Connection, user_id: UUID, queue: str, hint: str | None, notes: str | None
) -> None:
    now = get_client(connection, user_id, PRESENCE_SECONDS)
    is_so = (now.user_id, now.configured_queue) == (user_id, queue) and now.is_dedicated
    if is_so and hint in {None, now.api_key_hint} and notes in {None, now.notes}:
        return
    values = {"user": user_id, "queue": queue, "hint": hint, "notes": notes}
    connection.execute(_SET_LANE, values)
