"""Times in events as the API writes them.

Revision ID: 0030
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0030"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make functions anew; no row is changed."""
    run_sql(op, "0030_times.sql")


def downgrade() -> None:
    """Nothing here holds the functions of before; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
