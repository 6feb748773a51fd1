"""What an operator should know of a change to keys, beside that it was made: who else has the key, and who is left without."""

from collections.abc import Iterable, Sequence
from typing import Protocol
from uuid import UUID

from sqlalchemy import Connection, text

from app.clients.clients import get_client
from app.clients.keys import KeyFacts, key_facts, keys_of
from app.jobs.key_problems import problems_of
from app.settings import get_settings

_HOLDERS = text("SELECT tenant_slug FROM key_holders(:provider, :fingerprint)")


class NamedKey(Protocol):
    """A key as it is told apart and shown."""

    @property
    def provider(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def hint(self) -> str: ...


def shared_with(connection: Connection, slug: str | None, keys: Iterable[NamedKey]) -> list[str]:
    """Return a sentence for each of a client's keys (`slug` None: the platform's) that is in use for somebody else, too.

    That is allowed where the limits are the same, and may be a key pasted into the wrong form.
    """
    return [
        f"The key …{key.hint} is also in use for {_listed(others)}. Its calls count once, so they share its limits and its day."
        for key in keys
        if (others := _others(connection, slug, key))
    ]


def _others(connection: Connection, slug: str | None, key: NamedKey) -> list[str | None]:
    values = {"provider": key.provider, "fingerprint": key.fingerprint}
    found = connection.execute(_HOLDERS, values).scalars()
    return [other for other in found if other != slug]


def _listed(slugs: Iterable[str | None]) -> str:
    return ", ".join(f"the client {slug}" if slug else "the platform" for slug in slugs)


def enabled_notes(connection: Connection, key_id: UUID) -> list[str]:
    """Return what is to be known of a stored key that was added or switched on."""
    key = key_facts(connection, key_id)
    return shared_with(connection, key.tenant_slug, [key])


def without_key(connection: Connection, key_id: UUID) -> str | None:
    """Return what follows when a stored key is switched off or removed; None: others go on. Raises `NotFound`.

    To be asked before. A key in force that can't be used still keeps its client from the platform's.
    """
    key = key_facts(connection, key_id)
    if not key.in_force:
        return None
    others = [other for other in keys_of(connection, key.tenant_id) if _goes_on(other, key)]
    if usable(connection, others):
        return None
    if key.tenant_id is None:
        return "The platform has no other key that can be used: the work of clients without keys of their own waits then."
    left = f"{key.tenant_slug} has no other key of its own that can be used"
    why = _why_it_waits(connection, key.tenant_id, others)
    return (
        f"{left}: its work waits then, because {why}."
        if why
        else f"{left}: the platform's keys serve its work then."
    )


def _why_it_waits(connection: Connection, tenant_id: UUID, others: list[KeyFacts]) -> str | None:
    """Return why a client without usable keys of its own is not served by the platform's; None: it is."""
    if others:
        return "the keys that are left can't be used (`keys list`)"
    client = get_client(connection, tenant_id, get_settings().presence_timeout_seconds)
    if client.key_policy == "own":
        return "its key policy is own"
    platform = [key for key in keys_of(connection, None) if key.in_force]
    return None if usable(connection, platform) else "the platform has none either"


def _goes_on(other: KeyFacts, key: KeyFacts) -> bool:
    return other.in_force and other.id != key.id


def usable(connection: Connection, keys: Sequence[KeyFacts]) -> list[KeyFacts]:
    """Return those of the keys that a worker would not pass over."""
    problems = problems_of(connection, keys)
    return [key for key in keys if key.id not in problems]
