"""A client's own chain of look-up providers, set and shown; figures of webhooks.

Revision ID: 0026
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make functions; no row is changed."""
    run_sql(op, "0026_operators.sql")


def downgrade() -> None:
    """Nothing here holds the functions of before; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
