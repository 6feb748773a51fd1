"""What makes a stored key unusable, so that every worker passes it over: limits that can't be, a secret that can't be read.

SQL can write the first; the second comes from a key of ENCRYPTION_KEYS that was taken away too early, or from a row copied
out of another installation.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from sqlalchemy import Connection, text

from app.crypto import decrypt
from app.errors import Misconfigured
from routing.rate_limits.limits import KeyLimits, Window

_SECRETS = text("SELECT id, secret_encrypted FROM key_secrets(:keys)")
Windows = Iterable[tuple[int, int]]


class HasLimits(Protocol):
    """A key with its limits; windows are (calls, seconds) each. `id` is None for a key of a worker's environment."""

    @property
    def id(self) -> UUID | None: ...
    @property
    def spacing_ms(self) -> int: ...
    @property
    def windows(self) -> Sequence[tuple[int, int]]: ...
    @property
    def daily_limit(self) -> int | None: ...
    @property
    def reset_hour(self) -> int: ...


def problems_of(connection: Connection, keys: Sequence[HasLimits]) -> Mapping[UUID, str]:
    """Return {id: what is wrong} of those stored keys that can't be used. Needs no tenant's scope."""
    found = _unreadable(connection, [key.id for key in keys if key.id])
    for key in keys:
        if key.id and (problem := _problem_of_limits(key)):
            found[key.id] = problem
    return found


def _unreadable(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, str]:
    found = {}
    for row in connection.execute(_SECRETS, {"keys": list(ids)}) if ids else ():
        try:
            decrypt(row.secret_encrypted)
        except Misconfigured as error:
            found[row.id] = error.message
    return found


def _problem_of_limits(key: HasLimits) -> str | None:
    windows = tuple(Window(calls, seconds * 1000) for calls, seconds in key.windows)
    try:
        KeyLimits("shown", key.spacing_ms, windows, key.daily_limit, key.reset_hour)
    except Misconfigured as error:
        return error.message
    return None
