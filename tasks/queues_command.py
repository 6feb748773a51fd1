"""`celery -A celery_config queues [--json]`: what each lane holds. The program finds it by its entry point (pyproject.toml)."""

import json as json_module
from dataclasses import asdict
from typing import Any

import click

from app.db.scope import system_scope
from app.jobs.lanes import LaneRow, lane_overview
from tasks.dispatcher import broker_client

COLUMNS = (
    ("QUEUE", "queue"),
    ("TENANT", "tenants"),
    ("MESSAGES", "messages"),
    ("READY", "ready"),
    ("LATER", "deferred"),
    ("RELEASED", "released"),
    ("RUNNING", "running"),
    ("OLDEST", "oldest_seconds"),
    ("WORKERS", "workers"),
    ("SLOTS", "slots"),
    ("ROWS/S", "rate_per_second"),
    ("KEYS", "keys"),
    ("KEYS/S", "keys_per_second"),
    ("WAITS FOR", "held_reason"),
)


def _cell(value: Any, name: str) -> str:
    if value is None:
        return "-"
    if name == "tenants":
        return ",".join(value[:3]) + (f"+{len(value) - 3}" if len(value) > 3 else "") or "-"
    if name == "oldest_seconds":
        return f"{value:.0f}s" if value < 120 else f"{value / 60:.0f}m"
    if isinstance(value, float):
        return f"{value:.1f}"
    return str(value)


def as_table(lanes: list[LaneRow]) -> str:
    """Return the lanes as aligned text."""
    rows = [[title for title, _ in COLUMNS]]
    rows += [[_cell(getattr(lane, name), name) for _, name in COLUMNS] for lane in lanes]
    widths = [max(len(row[at]) for row in rows) for at in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    )


@click.command("queues")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a lane.")
def queues_command(as_json: bool) -> None:  # noqa: FBT001 - click passes it so
    """Show each lane: tenant, messages waiting, chunks, oldest age, workers, keys and their rate."""
    with system_scope() as connection:
        lanes = lane_overview(connection, broker_client())
    if as_json:
        click.echo(json_module.dumps([asdict(lane) for lane in lanes], default=str, indent=2))
    else:
        click.echo(as_table(lanes))
