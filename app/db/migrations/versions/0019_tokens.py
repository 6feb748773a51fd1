"""Tokens of clients' programs.

Revision ID: 0019
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table and the function that reads it."""
    run_sql(op, "0019_tokens.sql")


def downgrade() -> None:
    """The web and the workers of this version call the functions; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
