"""One key in several rows: of two clients, or of a client and the platform.

Its provider counts a key's calls once, whoever makes them, so all its enabled rows have the same limits. Rows that were
written past these rules are held by the strictest of each (`limits_in_force`).
"""

from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

from sqlalchemy import Connection, Row, text

from app.errors import Contradiction

_TWINS = text("SELECT * FROM key_twins(:provider, :fingerprint, :but)")
_LOCK = text(
    "SELECT count(*) FROM key_secret(:key) k CROSS JOIN LATERAL key_twins(k.provider, k.fingerprint, :key)"
)
_WHY = (
    "The provider counts a key's calls once, whoever makes them, so its rows have the same limits. "
)


class Limits(Protocol):
    """Limits as they are compared; windows are (calls, seconds) each."""

    @property
    def spacing_ms(self) -> int: ...
    @property
    def windows(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def daily_limit(self) -> int | None: ...
    @property
    def reset_hour(self) -> int: ...


Facts = tuple[int, frozenset[tuple[int, int]], int | None, int]


def facts_of(limits: Limits) -> Facts:
    """Return limits as they are compared."""
    return limits.spacing_ms, frozenset(limits.windows), limits.daily_limit, limits.reset_hour


def lock_key(connection: Connection, key_id: UUID) -> None:
    """Let nobody else change a row with this key until the transaction ends."""
    connection.execute(_LOCK, {"key": key_id})


def check_addition(
    connection: Connection, tenant_id: UUID | None, hint: str, names: tuple[str, str], wanted: Facts
) -> None:
    """Raise `Contradiction` when somebody else's row has this key, named by (provider, fingerprint), with other limits."""
    twins = _twins(connection, names, None)
    if any(row.tenant_id == tenant_id for row in twins):
        # It has been added already, which is to be said instead.
        return
    _refuse(hint, twins, wanted, "Add it with these limits, or change those first (`keys edit`).")


def check_change(
    connection: Connection, key_id: UUID, hint: str, names: tuple[str, str], wanted: Facts
) -> None:
    """Raise `Contradiction` when another row has the key of this one with other limits than are wanted."""
    remedy = "Switch that one off (`keys edit ID --disable`), change both, and switch it on again."
    _refuse(hint, _twins(connection, names, key_id), wanted, remedy)


def _twins(
    connection: Connection, names: tuple[str, str], but: UUID | None
) -> list[Row[tuple[object, ...]]]:
    provider, fingerprint = names
    values = {"provider": provider, "fingerprint": fingerprint, "but": but}
    return list(connection.execute(_TWINS, values).all())


def _refuse(
    hint: str, twins: Iterable[Row[tuple[object, ...]]], wanted: Facts, remedy: str
) -> None:
    for twin in twins:
        found = _facts(twin)
        if found != wanted:
            whose = f"the client {twin.tenant_slug}" if twin.tenant_slug else "the platform"
            raise Contradiction(
                f"The key …{hint} is also in use for {whose} (key {twin.id}), with other limits: {_said(found)}. {_WHY}{remedy}"
            )


def _facts(row: Row[tuple[object, ...]]) -> Facts:
    windows = {(int(w["requests"]), int(w["seconds"])) for w in row.extra_windows}
    if row.requests_per_window is not None:
        windows.add((row.requests_per_window, row.window_seconds))
    return row.spacing_ms, frozenset(windows), row.daily_limit, row.reset_hour


def _said(facts: Facts) -> str:
    spacing, windows, daily, hour = facts
    parts = [f"{spacing} ms between two calls"]
    parts += [f"{calls} in {seconds} s" for calls, seconds in sorted(windows, key=lambda w: w[1])]
    parts.append(f"{daily:,} a day" if daily else "no daily limit")
    return ", ".join(parts) + f", from {hour:02}:00 UTC"
