"""Answers that come later: what is waited for, and the vendors' calls that came.

Revision ID: 0020
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two tables, a column and functions; no row is changed."""
    run_sql(op, "0020_late_answers.sql")


def downgrade() -> None:
    """What vendors have told would be lost; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
