"""What was changed, in words: the history on the pages and on the command line."""

from collections.abc import Callable, Mapping
from typing import Any

from app.clients.rows import AuditRow

NOTHING = "none"
#: Setting -> how people call it.
_NAMES = {
    "name": "name",
    "weight": "weight",
    "max_in_flight": "chunks at once",
    "max_in_flight_per_job": "chunks of one list at once",
    "key_policy": "keys that serve it",
    "fallback_after_seconds": "seconds without a worker before it falls back",
    "spacing_ms": "ms between two calls",
    "requests_per_window": "calls in the window",
    "window_seconds": "seconds of the window",
    "extra_windows": "further windows",
    "daily_limit": "calls a day",
    "reset_hour": "hour (UTC) at which its day begins",
    "enrichment_chain": "who is asked about a lead",
    "enrichment_cheapest_first": "cheapest first",
    "notes": "notes",
}
_VALUES = {
    "own": "only its own",
    "platform": "only the platform's",
    "own_then_platform": "its own, the platform's while it has none",
}


def event_in_words(event: AuditRow) -> str:
    """Return one change in a sentence without its full stop; what no version knows, by its name."""
    if event.action == "lane.changed":
        moved = (
            f", {_count(event.chunks_moved, 'waiting chunk')} moved" if event.chunks_moved else ""
        )
        return f"Lane {event.from_queue} → {event.to_queue}{moved}"
    said = _WORDS.get(event.action)
    return said(event.details) if said else event.action


def changes_in_words(details: Mapping[str, Any]) -> str:
    """Return the settings among an event's details, those with a value before and one after, with commas."""
    pairs = {name: pair for name, pair in details.items() if _is_pair(pair)}
    return ", ".join(_change(name, *pair) for name, pair in pairs.items())


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2


def _change(name: str, old: Any, new: Any) -> str:
    if name == "is_enabled":
        return "switched on" if new else "switched off"
    return f"{_NAMES.get(name, name.replace('_', ' '))} {_value(old)} → {_value(new)}"


def _value(value: Any) -> str:
    if value is None or value in ("", []):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        joined = " and " if isinstance(value[0], dict) else ", then "
        return joined.join(map(_part, value))
    return _VALUES.get(str(value), f"{value:,}" if isinstance(value, int) else str(value))


def _part(part: Any) -> str:
    """Return one window of a key, or one name of a chain."""
    return f"{part['requests']} in {part['seconds']} s" if isinstance(part, dict) else str(part)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _key(details: Mapping[str, Any]) -> str:
    return f"Key …{details.get('hint')}"


def _token(details: Mapping[str, Any]) -> str:
    return f"API token {details.get('name')} …{details.get('hint')} of {details.get('person')}"


def _tested(details: Mapping[str, Any]) -> str:
    how = "passed" if details.get("ok") else "did not pass"
    ms = details.get("ms")
    took = "no call was made" if ms is None else f"{ms:,} ms"
    return f"{_key(details)} tested: {how}, {str(details.get('outcome')).replace('_', ' ')}, {took}"


def _removed_lane(details: Mapping[str, Any]) -> str:
    queue = f" {details['queue']}" if details.get("queue") else ""
    return f"Lane{queue} removed" + ("" if details.get("was_active") else "; it was not in use")


def _lane_notes(details: Mapping[str, Any]) -> str:
    return f"Lane {details.get('queue')}: {changes_in_words(details)}"


def _webhook_off(details: Mapping[str, Any]) -> str:
    why = "it answered 410" if details.get("reason") == "gone" else "it failed for days"
    return f"Webhook {details.get('url')} switched off: {why}"


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "client.created": lambda d: f"Client made, with {d.get('person')}",
    "client.changed": lambda d: f"Settings: {changes_in_words(d)}",
    "lane.removed": _removed_lane,
    "lane.notes": _lane_notes,
    "fallback.ended": lambda d: f"Fall-back from {d.get('queue')} ended",
    "key.added": lambda d: f"{_key(d)} added",
    "key.removed": lambda d: f"{_key(d)} removed",
    "key.changed": lambda d: f"{_key(d)}: {changes_in_words(d)}",
    "webhook.disabled": _webhook_off,
    "token.created": lambda d: f"{_token(d)} made, for {', '.join(d.get('scopes') or [])}",
    "token.revoked": lambda d: f"{_token(d)} revoked",
    "key.tested": _tested,
    "key.reset": lambda d: f"{_key(d)} reset" + ("" if d.get("state") else "; it was not in use"),
    "keys.reencrypted": lambda d: f"{_count(d.get('keys') or 0, 'stored secret')} encrypted anew",
}
