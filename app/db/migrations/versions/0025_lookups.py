"""Look-ups: their notes in the record's own statement, claims of questions, answers for all clients, cheapest first.

Revision ID: 0025
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column, two tables and the functions; no row is changed."""
    run_sql(op, "0025_lookups.sql")


def downgrade() -> None:
    """The workers of this version record through these functions; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
