"""A client's cap holds over all of its lanes together.

Revision ID: 0014
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the function that releases; no row is changed."""
    run_sql(op, "0014_caps.sql")


def downgrade() -> None:
    """The function of before would be enough, and nothing here holds it; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
