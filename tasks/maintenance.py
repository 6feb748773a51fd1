"""Housekeeping that Beat asks for; any number of Beats may, each tick is done once."""

from datetime import UTC, datetime

import structlog
from celery import shared_task
from sqlalchemy import text

from app.db.scope import system_scope
from app.enrichment.events import forget_old
from app.jobs import release as ledger
from app.settings import get_settings
from app.uploads.storage import LocalStorage
from app.webhooks import keeping as webhooks
from tasks import presence
from tasks.orphans import remove_orphans

log = structlog.get_logger(__name__)
PERIOD_SECONDS = 300
_TICK = text("""
    INSERT INTO system_ticks (name, due_at) VALUES ('housekeeping', :due) ON CONFLICT DO NOTHING
""")
_OLD_TICKS = text("DELETE FROM system_ticks WHERE due_at < now() - interval '7 days'")
_FIGURES = text("SELECT forget_figures(:days)")
#: Answers forgotten in one transaction, and at most so many times in one tick: the rest has the next.
LOOKUPS_STEP, LOOKUPS_STEPS = 5_000, 20
_LOOKUPS = text("SELECT forget_lookups(:limit)")
_PARTITIONS = text("SELECT ensure_partitions((now() AT TIME ZONE 'UTC')::date, 4)")


@shared_task(name="tasks.maintenance.housekeeping")
def housekeeping() -> str:
    """Make the coming months' partitions, forget workers long gone, old usage, events, calls and answers, remove files without a job.

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
        calls = forget_old(connection, get_settings().enrichment_event_days)
        figures = connection.execute(_FIGURES, {"days": get_settings().figures_days}).scalar_one()
        connection.execute(_OLD_TICKS)
        events = webhooks.forget(connection, get_settings().webhook_log_days)
    answers = _forget_lookups()
    orphans = remove_orphans(LocalStorage(get_settings().storage_path))
    log.info(
        "housekeeping",
        partitions_made=partitions,
        workers_forgotten=gone,
        usage_forgotten=usage,
        vendors_calls_forgotten=calls,
        figures_forgotten=figures,
        answers_forgotten=answers,
        webhook_events_forgotten=events,
        files_removed=orphans,
    )
    return "done"


def _forget_lookups() -> int:
    """Forget the remembered answers whose time is over; return how many."""
    forgotten = 0
    for _ in range(LOOKUPS_STEPS):
        with system_scope() as connection:
            n = int(connection.execute(_LOOKUPS, {"limit": LOOKUPS_STEP}).scalar_one())
        forgotten += n
        if n < LOOKUPS_STEP:
            break
    return forgotten
