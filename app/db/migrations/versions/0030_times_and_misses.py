"""Times in events as the API writes them; why a remembered miss is one.

Revision ID: 0030
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make functions anew and add columns that may be empty; no row is changed."""
    run_sql(op, "0030_times.sql")
    run_sql(op, "0030_misses.sql")


def downgrade() -> None:
    """Nothing here holds the functions of before; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
