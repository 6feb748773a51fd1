"""Less that the application's role may do, rows bound to their job's tenant, sessions that can be ended.

Revision ID: 0004
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the functions, bind the rows, take rights away."""
    run_sql(op, "0004_narrower_role.sql")


def downgrade() -> None:
    """The version before would sign people in with a function that is gone; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
