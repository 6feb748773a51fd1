"""Whether a client's chain is asked cheapest first, shown beside the chain.

Revision ID: 0028
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make a function anew; no row is changed."""
    run_sql(op, "0028_orders.sql")


def downgrade() -> None:
    """Nothing here holds the functions of before; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
