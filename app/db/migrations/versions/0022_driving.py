"""A refusal that a retry goes behind.

Revision ID: 0022
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column by which a refusal is known to be over."""
    run_sql(op, "0022_driving.sql")


def downgrade() -> None:
    """The web and the workers of this version write the column; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
