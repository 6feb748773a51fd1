"""Duties that one worker does for all, and a release that nobody repeats.

Revision ID: 0007
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of duties and the functions that use it."""
    run_sql(op, "0007_duties.sql")


def downgrade() -> None:
    """Releases of this version name when they were asked for; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
