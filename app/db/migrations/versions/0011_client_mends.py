"""Acts on one client's lane in turn and each told of, keys in force where they serve, held lanes that fall back.

Revision ID: 0011
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the functions; no row is changed."""
    run_sql(op, "0011_lane_acts.sql")
    run_sql(op, "0011_audit_looks.sql")
    run_sql(op, "0011_keys.sql")
    run_sql(op, "0011_attendance.sql")


def downgrade() -> None:
    """The web and the workers of this version call the functions; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
