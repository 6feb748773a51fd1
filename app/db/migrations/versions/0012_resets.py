"""Holds that end when a key is reset or answers a test.

Revision ID: 0012
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the functions that note tests and resets; no row is changed."""
    run_sql(op, "0012_resets.sql")


def downgrade() -> None:
    """Nothing else would lift the holds; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
