"""A client with a cap a job is given what may go, also when what may not stands in front of it.

Revision ID: 0027
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0027"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the function that releases; no row is changed."""
    run_sql(op, "0027_release.sql")


def downgrade() -> None:
    """Nothing here holds the function of before; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
