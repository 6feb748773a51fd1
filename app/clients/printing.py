"""What the command line prints of clients, keys and changes: for people, and as JSON for programs. Secrets never.

Whatever stands in the database, nothing printed here steers a terminal.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from app.clients.capacity import capacity, describe
from app.clients.chain import chain_in_words
from app.clients.change_words import event_in_words
from app.clients.clients import AuditRow, ClientRow, LaneChange
from app.clients.keys import KeyFacts
from app.plain_text import escaped
from routing.rate_limits.limits import KeyState

NO_PROBLEMS: Mapping[UUID, str] = MappingProxyType({})
#: What nobody needs to see of a key.
_UNSEEN = ("fingerprint",)


def to_json(value: object) -> str:
    """Return JSON; moments in ISO 8601, ids as text."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=_plain)
    return escaped(text, keep="\n")


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def client_as_data(client: ClientRow) -> dict[str, Any]:
    """Return a client as plain values."""
    return {**asdict(client), "is_dedicated": client.is_dedicated}


def key_as_data(
    key: KeyFacts, states: Mapping[str, KeyState], problems: Mapping[UUID, str] = NO_PROBLEMS
) -> dict[str, Any]:
    """Return a key as plain values, with what the limiter knows of it; "unknown" and None where it knows nothing.

    `problems` are of keys that can't be used (`key_problems`), by id.
    """
    state = states.get(key.fingerprint)
    problem = problems.get(key.id) if key.id else None
    health = "unusable" if problem else state.state if state else "unknown"
    known = {name: value for name, value in asdict(key).items() if name not in _UNSEEN}
    return {
        **known,
        "health": health,
        "problem": problem,
        "reserved_today": state.used_today if state else None,
        "throttled_count": state.throttled_count if state else None,
        "spacing_multiplier": state.spacing_multiplier if state else None,
    }


def client_line(client: ClientRow) -> str:
    """Return a client in a line: name, lane in force, work, who serves it, keys, what wants a look."""
    work = f"{client.ready} ready, {client.released} released, {client.running} running"
    attention = ", ".join(remarks(client))
    workers = f"{client.workers} worker{'' if client.workers == 1 else 's'}"
    line = f"{client.slug}\t{client.queue}\t{work}\t{workers}\t{client.keys} own keys"
    return _line(f"{line}\t{attention}" if attention else line)


def _line(text: str) -> str:
    return escaped(text, keep="\t")


def remarks(client: ClientRow) -> Iterator[str]:
    """Yield what wants a look."""
    if client.fallback_since:
        yield f"fell back from {client.configured_queue} since {moment(client.fallback_since)}"
    elif client.is_dedicated and not client.workers:
        yield "no worker on its lane"
    if client.hold:
        yield f"held since {moment(client.hold.since)}: {client.hold.text}"
    if client.unattended_since:
        yield f"work without a worker since {moment(client.unattended_since)}"
    if client.config_id and not client.is_dedicated:
        yield f"{client.configured_queue} not in use"


def moment(at: datetime | None) -> str:
    """Return a moment in UTC, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "never"


def client_lines(client: ClientRow) -> Iterator[str]:
    """Yield a client's facts, one a line."""
    yield from map(_line, _client_lines(client))


def _client_lines(client: ClientRow) -> Iterator[str]:
    configured = client.configured_queue or "none, so the shared one"
    use = "in use" if client.is_dedicated else "not in use"
    yield f"client {client.slug} ({client.name}) {client.id}"
    yield f"lane configured {configured}" + (
        f" ({use}, by {client.user_email} {client.user_id})" if client.config_id else ""
    )
    yield f"lane in force {client.queue}, since {moment(client.changed_at)}"
    after = client.fallback_after_seconds
    yield "fall-back " + (f"after {after} s without a worker" if after else "off")
    for remark in remarks(client):
        yield f"look {remark}"
    if client.hold:
        yield f"remedy {client.hold.remedy}"
    yield f"workers {client.workers}"
    yield (
        f"work {client.ready} ready, {client.released} released, {client.running} running; "
        f"{client.open_jobs} open jobs; {client.rows_last_hour:,} rows in the last hour"
    )
    if client.shared_part is not None:
        yield f"part of the shared lane {client.shared_part:.1%} in the last hour"
    cap, per_job = client.max_in_flight, client.max_in_flight_per_job
    yield f"weight {client.weight}, in flight {cap or 'its part'}, a job {per_job or 'no cap'}"
    yield f"look-ups {chain_in_words(client.enrichment_chain, is_cheapest_first=client.enrichment_cheapest_first)}"
    if client.notes:
        yield f"notes {client.notes}"


def key_line(
    key: KeyFacts, states: Mapping[str, KeyState], problems: Mapping[UUID, str] = NO_PROBLEMS
) -> str:
    """Return a key in a line: by its last four characters."""
    state = states.get(key.fingerprint)
    enabled = "enabled" if key.is_enabled else "disabled"
    force = "in force" if key.in_force else "not in force"
    whose = key.tenant_slug or "platform"
    parts = [whose, key.provider, f"…{key.hint}", limits_of(key), enabled, force]
    parts.append(f"{key.used_today:,} used today")
    if key.id and key.id in problems:
        parts.append(f"not usable: {problems[key.id]}")
    elif states:
        parts.append(", ".join(_standing(state)))
    parts.append(str(key.id or key.notes))
    return _line("\t".join(parts))


def _standing(state: KeyState | None) -> Iterator[str]:
    """Yield how the limiter has a key: its health, what it counts of the day, what 429s did to it."""
    yield f"health {state.state if state else 'unknown'}"
    if state:
        yield f"{state.used_today:,} reserved today"
    if state and state.spacing_multiplier > 1:
        yield f"spacing x {state.spacing_multiplier:.1f} after 429"


def limits_of(key: KeyFacts) -> str:
    """Return a key's limits in words."""
    windows = " ".join(f"{calls} / {seconds} s" for calls, seconds in key.windows) or "- / 30 s"
    turn = f" from {key.reset_hour:02}:00" if key.reset_hour else ""
    return f"{key.spacing_ms} ms\t{windows}\t{key.daily_limit or '-'} / day{turn}"


def capacity_line(keys: Sequence[KeyFacts]) -> str:
    """Return what the keys that serve a client give a client."""
    shared = any(key.tenant_id is None for key in keys)
    whose = " - the platform's, shared with other clients" if shared else ""
    return f"capacity {describe(capacity(keys))}{whose}"


def change_line(change: LaneChange) -> str:
    """Return what moved."""
    if not change.is_change:
        return f"lane {change.to_queue}, as before: nothing moved"
    return _line(f"lane {change.from_queue} -> {change.to_queue}, {change.work_words}")


def audit_line(row: AuditRow) -> str:
    """Return one change in a line."""
    whose, what = row.tenant_slug or "-", event_in_words(row)
    return _line(f"{row.id}\t{moment(row.at)}\t{row.actor}\t{whose}\t{row.action}\t{what}")
