"""Every call of a script, as data: which script, its arguments, and how to read the reply.

The synchronous and the asyncio client run the same calls, so that what is asked of Redis stands in
one place. Nothing here does I/O. Arguments and replies are described in the scripts' heads.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from routing.rate_limits.limits import (
    HOUR_MS,
    CircuitState,
    KeyLimits,
    KeyState,
    LimitPolicy,
    Move,
    PoolRef,
    Reason,
    Report,
    Reservation,
    Slot,
)

T = TypeVar("T")
_FOLDER = Path(__file__).parent
#: Text that a provider sent may be long; a page shows one line of it.
WHY_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua source and the digest under which Redis keeps it."""

    source: str
    digest: str


def _load(name: str) -> Script:
    source = "\n".join((_FOLDER / part).read_text() for part in ("common.lua", f"{name}.lua"))
    # Redis names scripts by SHA-1; nothing is protected by it.
    return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())


RESERVE, REGISTER, POOL, FEEDBACK, POSTPONE, DESCRIBE = (
    _load(name) for name in ("reserve", "register", "pool", "feedback", "postpone", "describe")
)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One run of a script; `read` turns the reply into the answer."""

    script: Script
    keys: Sequence[str]
    args: Sequence[str | int]
    read: Callable[[Any], T]


def reserve(
    policy: LimitPolicy,
    pool: PoolRef,
    n: int,
    *,
    horizon_ms: int | None,
    slack_ms: int,
    holder: str,
    now_ms: int | None,
) -> Call[Reservation]:
    """Reserve up to `n` calls on the keys of `pool`, at most `horizon_ms` ahead.

    The last slot of each key may be used up to `slack_ms` after its moment; the key's next ones keep
    clear of that. A `holder` (a name of the caller's) keeps distances itself, and gets runs of slots on a key.
    """
    horizon = policy.horizon_ms if horizon_ms is None else horizon_ms
    margins = (policy.spacing_margin_ms, policy.window_margin_ms)
    args = (_now(now_ms), n, horizon, *margins, policy.probe_lease_ms, slack_ms, holder)

    def read(reply: Any) -> Reservation:
        now_us, not_before, reason, unknown, grants = reply
        words = iter(_text(grants).split())
        slots = tuple(
            Slot(key_id, int(at), int(seq), int(count))
            for key_id, at, seq, count in zip(words, words, words, words, strict=True)
        )
        why = cast("Reason", _text(reason))
        lost = pool.key_ids if why == "pool_unknown" else tuple(map(_text, unknown))
        return Reservation(slots, not_before, why, lost, now_us)

    return Call(RESERVE, (pool.redis_key,), args, read)


def edit(keys: Sequence[KeyLimits], now_ms: int | None) -> Call[tuple[int, list[str]]]:
    """Write the limits of known keys. Answers (now in µs, the ids that Redis does not know)."""
    args = [arg for key in keys for arg in (*_limits(key), -1, 0)]
    return Call(REGISTER, (), (_now(now_ms), "edit", *args), _read_absent)


def register(
    key: KeyLimits, cold_ms: int | None, used_today: int, now_ms: int | None
) -> Call[tuple[int, list[str]]]:
    """Write limits and state of a key, unless it is known. Answers as `edit`."""
    cold = -1 if cold_ms is None else cold_ms
    args = (_now(now_ms), "register", *_limits(key), cold, used_today)
    return Call(REGISTER, (), args, _read_absent)


def define_pool(pool: PoolRef) -> Call[list[str]]:
    """Put registered keys into their pool. Answers the ids that are not registered."""
    return Call(POOL, (pool.redis_key,), pool.key_ids, lambda reply: [_text(id_) for id_ in reply])


def feedback(policy: LimitPolicy, reports: Sequence[Report], now_ms: int | None) -> Call[list[str]]:
    """Take in how calls went. Answers one circuit state a report, '' for an unknown key."""
    args: list[str | int] = [_now(now_ms), policy.open_ms]
    for report in reports:
        at = "" if report.granted_at_ms is None else report.granted_at_ms
        args += [report.kind, report.key_id, report.value[:WHY_LENGTH], at]
    return Call(FEEDBACK, (), args, lambda reply: [_text(state) for state in reply])


def clean_reports(counts: Mapping[str, int]) -> list[Report]:
    """Return the reports of so many clean calls a key."""
    return [Report("clean", key_id, str(count)) for key_id, count in counts.items()]


def postpone(policy: LimitPolicy, moves: Sequence[Move]) -> Call[list[bool]]:
    """Move the latest grants of keys. Answers, for each, whether it could be done."""
    args = [word for move in moves for word in move]
    return Call(
        POSTPONE, (), (policy.window_margin_ms, *args), lambda reply: list(map(bool, reply))
    )


def describe(
    policy: LimitPolicy, key_ids: Sequence[str], now_ms: int | None
) -> Call[Mapping[str, KeyState]]:
    """Tell how keys stand; a key that Redis does not know is left out."""
    args = (_now(now_ms), policy.spacing_margin_ms, policy.window_margin_ms, *key_ids)
    return Call(
        DESCRIBE, (), args, lambda reply: {_text(row[0]): _read_state(row) for row in reply if row}
    )


def _now(now_ms: int | None) -> str | int:
    return "" if now_ms is None else now_ms


def _limits(key: KeyLimits) -> tuple[str | int, ...]:
    windows = ";".join(f"{limit}:{window_ms}" for limit, window_ms in key.windows)
    daily = "" if key.daily_limit is None else key.daily_limit
    return (key.key_id, key.version, key.spacing_ms, windows, daily, key.reset_hour * HOUR_MS)


def _read_absent(reply: Any) -> tuple[int, list[str]]:
    return reply[0], [_text(id_) for id_ in reply[1]]


def _read_state(row: Sequence[Any]) -> KeyState:
    return KeyState(
        key_id=_text(row[0]),
        used_today=row[1],
        daily_limit=None if row[2] in {b"", ""} else row[2],
        next_free_ms=row[3],
        binds=cast("Reason", _text(row[4])),
        spacing_multiplier=float(row[5]),
        state=cast("CircuitState", _text(row[6])),
        since_ms=row[7],
        why=_text(row[8]),
        throttled_count=row[9],
        last_granted_ms=row[10],
        wait_until_ms=row[11],
        cold_until_ms=row[12],
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
