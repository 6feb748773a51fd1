"""Holds that end with what they were noticed on.

Revision ID: 0010
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the function that holds a lane."""
    run_sql(op, "0010_holds.sql")


def downgrade() -> None:
    """Workers of this version hold lanes by the function; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
