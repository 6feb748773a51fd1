"""`celery -A celery_config queues [--advise] [--json]`: what each lane holds, or what it wants.

The program finds it by its entry point (pyproject.toml).
"""

import json as json_module
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from operator import attrgetter
from typing import Any

import click

from app.db.scope import system_scope
from app.jobs.advice import Assumptions
from app.jobs.lanes import LaneRow, lane_overview
from app.jobs.release import tend_lanes
from app.settings import get_settings
from tasks.dispatcher import broker_client

#: (title, field of LaneRow)
COLUMNS = (
    ("QUEUE", "queue"),
    ("TENANT", "tenants"),
    ("MESSAGES", "messages"),
    ("READY", "ready"),
    ("LATER", "deferred"),
    ("RELEASED", "released"),
    ("RUNNING", "running"),
    ("ROWS", "rows_left"),
    ("OLDEST", "oldest_seconds"),
    ("WORKERS", "workers"),
    ("SLOTS", "slots"),
    ("ROWS/S", "rate_per_second"),
    ("KEYS", "keys"),
    ("KEYS/S", "keys_per_second"),
    ("DRAIN", "drain_seconds"),
    ("WAITS FOR", "held_reason"),
)
ADVICE_COLUMNS = (
    ("QUEUE", "queue"),
    ("ROWS", "rows_left"),
    ("DRAIN", "drain_seconds"),
    ("ROWS/S", "rate_per_second"),
    ("KEYS/S", "keys_per_second"),
    ("SLOTS", "slots"),
    ("FED", "advice.slots_fed"),
    ("WORKERS", "workers"),
    ("WANTED", "advice.workers"),
    ("UNATTENDED", "unattended_seconds"),
    ("FALL-BACK", "fallback_tenants"),
    ("ADVICE", "advice.text"),
)
_STEPS = ((172_800, 86_400, "d"), (7_200, 3_600, "h"), (120, 60, "m"))


def _duration(seconds: float) -> str:
    for from_seconds, unit_seconds, unit in _STEPS:
        if seconds >= from_seconds:
            return f"{seconds / unit_seconds:.0f}{unit}"
    return f"{seconds:.0f}s"


def _cell(value: Any, name: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ",".join(value[:3]) + (f"+{len(value) - 3}" if len(value) > 3 else "") or "-"
    if name.endswith("_seconds"):
        return _duration(value)
    if isinstance(value, float):
        return f"{value:.1f}"
    return str(value)


def as_table(lanes: list[LaneRow], columns: Sequence[tuple[str, str]] = COLUMNS) -> str:
    """Return the lanes as aligned text."""
    rows = [[title for title, _ in columns]]
    rows += [[_cell(attrgetter(name)(lane), name) for _, name in columns] for lane in lanes]
    widths = [max(len(row[at]) for row in rows) for at in range(len(columns))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def hold_lines(lanes: list[LaneRow]) -> list[str]:
    """Return a line for each held client, the first of each lane: why, since when, and what ends it; and how many more."""
    lines = [
        f"{lane.queue}: {held.slug} is held since {held.hold.since:%Y-%m-%d %H:%M:%S} UTC: {held.hold.text}. {held.hold.remedy}"
        for lane in lanes
        for held in lane.holds
    ]
    return lines + [
        f"{lane.queue}: {more} more of its clients are held"
        for lane in lanes
        if (more := lane.held_tenants - len(lane.holds))
    ]


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


@click.command("queues")
@click.option("--advise", is_flag=True, help="Show how many workers each lane wants, and why.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a lane.")
def queues_command(advise: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes it so
    """Show each lane: tenant, messages waiting, chunks, oldest age, workers, keys and their rate."""
    settings = get_settings()
    presence = settings.presence_timeout_seconds
    with system_scope() as connection:
        tend_lanes(connection, presence)
    with system_scope() as connection:
        lanes = lane_overview(
            connection,
            broker_client(),
            presence_seconds=presence,
            assumptions=Assumptions.of(settings),
        )
    if as_json:
        click.echo(json_module.dumps([asdict(lane) for lane in lanes], default=_as_text, indent=2))
    else:
        click.echo(as_table(lanes, ADVICE_COLUMNS if advise else COLUMNS))
        for line in hold_lines(lanes):
            click.echo(line)
