"""What keeps webhooks moving for all clients at once: the outbox, the progress of running jobs, what was left, what is old.

Each is a function of migration 0016 that crosses tenants; any number of callers is safe.
"""

from sqlalchemy import Connection, text

#: A running job tells its progress not more often than this …
PROGRESS_SECONDS = 5.0
#: … and only when this part of its items more are done.
PROGRESS_PART = 0.05
#: Events that are spread in one transaction.
SPREAD_EVENTS = 500
#: Events that are forgotten in one transaction.
FORGET_EVENTS = 20_000
_SPREAD = text("SELECT webhook_spread(:limit)")
_PROGRESS = text("SELECT webhook_sweep_progress(:seconds, :part)")
_WAKE = text("SELECT webhook_wake()")
_FORGET = text("SELECT webhook_forget(:days, :limit)")


def spread(connection: Connection) -> int:
    """Make deliveries of new events; return how many events. Full batches mean that there may be more."""
    return int(connection.execute(_SPREAD, {"limit": SPREAD_EVENTS}).scalar_one())


def sweep_progress(connection: Connection) -> int:
    """Write `job.progress` where it is time to; return how many."""
    values = {"seconds": PROGRESS_SECONDS, "part": PROGRESS_PART}
    return int(connection.execute(_PROGRESS, values).scalar_one())


def wake(connection: Connection) -> int:
    """Open the chunks of endpoints that have something to send and none open; return how many."""
    return int(connection.execute(_WAKE).scalar_one())


def forget(connection: Connection, days: float) -> int:
    """Remove events older than `days` with all that belongs to them; return how many, at most 20,000."""
    values = {"days": days, "limit": FORGET_EVENTS}
    return int(connection.execute(_FORGET, values).scalar_one())
