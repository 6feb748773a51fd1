"""Clients as a product: checked and audited lanes, fall-back, caps a job, keys' policy and resets, shares of the shared lane.

Revision ID: 0005
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables and columns, then the functions over them."""
    run_sql(op, "0005_clients.sql")
    run_sql(op, "0005_lane_changes.sql")
    run_sql(op, "0005_client_views.sql")
    run_sql(op, "0005_release.sql")
    run_sql(op, "0005_security.sql")


def downgrade() -> None:
    """Audit rows and clients' settings would be lost; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
