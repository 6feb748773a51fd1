"""Enrichment on the ledger: leads, look-ups, what is remembered, and work in two stages.

Revision ID: 0015
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables and columns, replace functions; no row is changed."""
    run_sql(op, "0015_enrichment.sql")
    run_sql(op, "0015_ledger.sql")
    run_sql(op, "0015_views.sql")


def downgrade() -> None:
    """The web and the workers of this version call the functions; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
