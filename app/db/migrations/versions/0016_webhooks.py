"""Webhooks: endpoints, the outbox of events, deliveries and their log.

Revision ID: 0016
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables, then what may happen to them, then who may do it."""
    run_sql(op, "0016_webhooks_tables.sql")
    run_sql(op, "0016_webhooks_events.sql")
    run_sql(op, "0016_webhooks_delivery.sql")
    run_sql(op, "0016_webhooks_security.sql")


def downgrade() -> None:
    """Endpoints and their secrets would be lost; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
