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
    """Take the functions away; no row is touched."""
    op.execute("DROP FUNCTION lane_rows(), shared_lane_parts(), own_keys_only()")
