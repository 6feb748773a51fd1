"""Housekeeping that Beat asks for; any number of Beats may, each tick is done once."""

from datetime import UTC, datetime

import structlog
from celery import shared_task
from sqlalchemy import text

from app.db.scope import system_scope
from tasks import presence

log = structlog.get_logger(__name__)
PERIOD_SECONDS = 300
_TICK = text("""
    INSERT INTO system_ticks (name, due_at) VALUES ('housekeeping', :due) ON CONFLICT DO NOTHING
""")
_PARTITIONS = text("SELECT ensure_partitions((now() AT TIME ZONE 'UTC')::date, 4)")


@shared_task(name="tasks.maintenance.housekeeping")
def housekeeping() -> str:
    """Make the coming months' partitions and forget workers that are long gone; `skipped` when this tick was done."""
    now = datetime.now(UTC)
    due = datetime.fromtimestamp(now.timestamp() // PERIOD_SECONDS * PERIOD_SECONDS, UTC)
    with system_scope() as connection:
        if connection.execute(_TICK, {"due": due}).rowcount == 0:
            return "skipped"
        partitions = connection.execute(_PARTITIONS).scalar_one()
        gone = presence.sweep(connection)
    log.info("housekeeping", partitions_made=partitions, workers_forgotten=gone)
    return "done"
