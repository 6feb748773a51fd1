"""Webhooks lock in one order, and wait for each other in no circle.

Revision ID: 0027
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make functions; no row is changed."""
    run_sql(op, "0027_webhooks_order.sql")


def downgrade() -> None:
    """Nothing here holds the functions of before; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
