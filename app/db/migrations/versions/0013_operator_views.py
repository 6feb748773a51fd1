"""What operators are shown: holds, clients of one name, whether secrets can be read.

Revision ID: 0013
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the functions, and let a hold keep the moment since when it is; no row is changed."""
    run_sql(op, "0013_operator_views.sql")


def downgrade() -> None:
    """The views ask these functions; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
