"""What operators see of lanes: rows that are left, parts of the shared lane, clients without the platform's keys.

Revision ID: 0006
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the functions."""
    run_sql(op, "0006_lane_views.sql")


def downgrade() -> None:
    """The lanes' views would be missing; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
