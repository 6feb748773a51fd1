"""Provider keys: kept encrypted, told apart by fingerprint, shown by their last four characters.

Limits may be changed at any time; workers take them up at once. A key's secret never changes: another secret is another key.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import Connection, text

from app.clients.key_limits import check_limits, windows_as_json
from app.clients.known_keys import (
    KeyFacts,
    client_keys,
    key_facts,
    keys_of,
    list_keys,
    no_such_key,
    serving_keys,
)
from app.clients.shared_keys import check_addition, check_change, facts_of, lock_key
from app.crypto import encrypt, fingerprint, hint
from app.db.refusals import refusals_explained
from app.errors import Conflict, InvalidInput
from app.plain_text import require_plain

__all__ = [
    "PROVIDERS",
    "WINDOW_SECONDS",
    "KeyFacts",
    "NewKey",
    "add_key",
    "client_keys",
    "edit_key",
    "in_one_order",
    "key_facts",
    "keys_of",
    "list_keys",
    "remove_key",
    "serving_keys",
]
PROVIDERS = ("mailtester",)
WINDOW_SECONDS = 30
_MAX_SECRET = 512

_ADD = text(
    "SELECT key_add(:tenant, :provider, :fingerprint, :secret, :hint, CAST(:limits AS jsonb))"
)
_SET = text("SELECT key_set(:key, CAST(:settings AS jsonb))")
_REMOVE = text("SELECT key_remove(:key)")


@dataclass(frozen=True)
class NewKey:
    """A key to be added, with what its plan allows. Only the secret's last four characters may be shown.

    `per_30s` calls in any 30 s and `daily_limit` calls a day; None: no such limit. The day turns at `reset_hour` UTC.
    `extra_windows` are more windows, (calls, seconds) each.
    """

    secret: SecretStr
    provider: str = "mailtester"
    spacing_ms: int = 250
    per_30s: int | None = 165
    daily_limit: int | None = 500_000
    reset_hour: int = 0
    extra_windows: tuple[tuple[int, int], ...] = ()
    notes: str | None = None

    @property
    def hint(self) -> str:
        """The secret's last four characters."""
        return hint(self.secret.get_secret_value())

    @property
    def fingerprint(self) -> str:
        """What tells it apart."""
        return fingerprint(self.provider, self.secret.get_secret_value())

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """All its windows, (calls, seconds) each."""
        first = ((self.per_30s, WINDOW_SECONDS),) if self.per_30s else ()
        return (*first, *self.extra_windows)


def add_key(connection: Connection, tenant_id: UUID | None, new: NewKey) -> UUID:
    """Add a key of a client, or of the platform (`tenant_id` None); return its id.

    Raises `InvalidInput`, `Conflict` when the client has this very key already, or `Contradiction` when it is in use for
    somebody else with other limits. Several are to be added in the order of `in_one_order`.
    """
    secret = new.secret.get_secret_value()
    if new.provider not in PROVIDERS:
        raise InvalidInput(f"A provider is one of {', '.join(PROVIDERS)}.")
    if (
        not 8 <= len(secret) <= _MAX_SECRET
        or not secret.isascii()
        or not secret.isprintable()
        or " " in secret
    ):
        raise InvalidInput("A key has 8 to 512 printable characters without spaces.")
    if "," in secret or ";" in secret:
        raise InvalidInput(
            "A key has no comma and no semicolon: they stand between the keys in MAILTESTER_API_KEYS. Several keys go one by one."
        )
    require_plain("Notes", new.notes or "", lines=True)
    check_limits(new.spacing_ms, new.windows, new.daily_limit, new.reset_hour)
    limits = {
        "spacing_ms": new.spacing_ms,
        "requests_per_window": new.per_30s,
        "window_seconds": WINDOW_SECONDS,
        "extra_windows": windows_as_json(new.extra_windows),
        "daily_limit": new.daily_limit,
        "reset_hour": new.reset_hour,
        "notes": new.notes,
    }
    values = {
        "tenant": tenant_id,
        "provider": new.provider,
        "fingerprint": new.fingerprint,
        "secret": encrypt(secret),
        "hint": new.hint,
        "limits": json.dumps(limits),
    }
    with refusals_explained():
        names = (new.provider, new.fingerprint)
        check_addition(connection, tenant_id, new.hint, names, facts_of(new))
        found = connection.execute(_ADD, values).scalar_one()
    if found is None:
        raise Conflict(
            f"The key …{new.hint} has been added already; `keys edit` changes its limits."
        )
    return UUID(str(found))


def in_one_order(keys: Sequence[NewKey]) -> list[NewKey]:
    """Return keys in the order in which they are added, the same everywhere: two who add the same ones never wait for each other."""
    return sorted(keys, key=lambda key: key.fingerprint)


def edit_key(
    connection: Connection, key_id: UUID, **settings: object
) -> dict[str, tuple[Any, Any]]:
    """Change a stored key's limits; return {setting: (before, after)} of those that are others now.

    `spacing_ms`, `per_30s` (None: no such limit), `extra_windows` ((calls, seconds) each), `daily_limit`, `reset_hour`,
    `is_enabled`, `notes`. Raises `InvalidInput`, `NotFound`, or `Contradiction` when the key is in use for somebody else,
    too, and would have other limits there.
    """
    if unknown := set(settings) - _EDITABLE:
        raise InvalidInput(
            f"{', '.join(sorted(unknown))}: settings are {', '.join(sorted(_EDITABLE))}."
        )
    wanted: dict[str, Any] = dict(settings)
    if "per_30s" in wanted:
        wanted |= {
            "requests_per_window": wanted.pop("per_30s"),
            "window_seconds": WINDOW_SECONDS,
        }
    lock_key(connection, key_id)
    before = key_facts(connection, key_id)
    after = _check_edit(before, wanted)
    if after.is_enabled and (not before.is_enabled or facts_of(after) != facts_of(before)):
        names = (before.provider, before.fingerprint)
        check_change(connection, key_id, before.hint, names, facts_of(after))
    if "extra_windows" in wanted:
        wanted["extra_windows"] = windows_as_json(wanted["extra_windows"])
    with refusals_explained():
        values = {"key": key_id, "settings": json.dumps(wanted)}
        changes = connection.execute(_SET, values).scalar_one()
    if changes is None:
        raise no_such_key()
    return {name: (old, new) for name, (old, new) in changes.items()}


def remove_key(connection: Connection, key_id: UUID) -> None:
    """Take a stored key away for good. Raises `NotFound`."""
    lock_key(connection, key_id)
    if not connection.execute(_REMOVE, {"key": key_id}).scalar_one():
        raise no_such_key()


_EDITABLE = {
    "spacing_ms",
    "per_30s",
    "extra_windows",
    "daily_limit",
    "reset_hour",
    "is_enabled",
    "notes",
}


def _check_edit(key: KeyFacts, wanted: dict[str, Any]) -> KeyFacts:
    """Check the limits as they would be together, so that no worker meets impossible ones; return the key with them."""

    def will_be(name: str) -> Any:
        return wanted.get(name, getattr(key, name))

    if not isinstance(will_be("is_enabled"), bool):
        raise InvalidInput("Enabled is true or false.")
    if not isinstance(wanted.get("notes"), str | None):
        raise InvalidInput("Notes are text.")
    require_plain("Notes", wanted.get("notes") or "", lines=True)
    per_window, seconds = will_be("requests_per_window"), will_be("window_seconds")
    first = () if per_window is None else ((per_window, seconds),)
    extra = will_be("extra_windows")
    if not isinstance(extra, list | tuple) or not all(isinstance(w, list | tuple) for w in extra):
        raise InvalidInput("Windows are a list, each a number of calls and a number of seconds.")
    windows = (*first, *(tuple(window) for window in extra))
    check_limits(will_be("spacing_ms"), windows, will_be("daily_limit"), will_be("reset_hour"))
    return replace(key, **wanted | {"extra_windows": windows[len(first) :]})
