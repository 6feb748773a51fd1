"""Limits of keys: what they may be, whose hold where several rows have one key, and a day's count that no edit loses.

Revision ID: 0009
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the rows within the limits, then add the checks and functions."""
    run_sql(op, "0009_key_limits.sql")


def downgrade() -> None:
    """Rows may share a key within limits that an older version would not hold; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
