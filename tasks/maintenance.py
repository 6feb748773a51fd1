"""Housekeeping that Beat asks for; any number of Beats may, each tick is done once."""

from datetime import UTC, datetime

import structlog
from celery import shared_task
from sqlalchemy import text

from app.db.scope import system_scope
from app.jobs import release as ledger
from app.settings import get_settings
from app.uploads.storage import LocalStorage
from tasks import presence
from tasks.orphans import remove_orphans

log = structlog.get_logger(__name__)
PERIOD_SECONDS = 300
_TICK = text("""
    INSERT INTO system_ticks (name, due_at) VALUES ('housekeeping', :due) ON CONFLICT DO NOTHING
""")
_OLD_TICKS = text("DELETE FROM system_ticks WHERE due_at < now() - interval '7 days'")
_FIGURES = text("SELECT forget_figures(:days)")
_PARTITIONS = text("SELECT ensure_partitions((now() AT TIME ZONE 'UTC')::date, 4)")


@shared_task(name="tasks.maintenance.housekeeping")
def housekeeping() -> str:
    """Make the coming months' partitions, forget workers long gone and usage of more than a day ago, remove files without a job.

    `skipped` when this tick was done.
    """
    now = datetime.now(UTC)
    due = datetime.fromtimestamp(now.timestamp() // PERIOD_SECONDS * PERIOD_SECONDS, UTC)
    with system_scope() as connection:
        if connection.execute(_TICK, {"due": due}).rowcount == 0:
            return "skipped"
        partitions = connection.execute(_PARTITIONS).scalar_one()
        gone = presence.sweep(connection)
        usage = ledger.forget_usage(connection)
        figures = connection.execute(_FIGURES, {"days": get_settings().figures_days}).scalar_one()
        connection.execute(_OLD_TICKS)
    orphans = remove_orphans(LocalStorage(get_settings().storage_path))
    log.info(
        "housekeeping",
        partitions_made=partitions,
        workers_forgotten=gone,
        usage_forgotten=usage,
        figures_forgotten=figures,
        files_removed=orphans,
    )
    return "done"
