"""Several verification providers side by side, and lists of leads.

Revision ID: 0017
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add an index and functions, replace functions; no row is changed."""
    run_sql(op, "0017_providers.sql")
    run_sql(op, "0017_keys.sql")


def downgrade() -> None:
    """The web and the workers of this version call the functions; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
