"""The small ends of dedicated clients: what is told of keys, one client at its own cost, new clients, people who move.

Revision ID: 0008
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and indexes, then the functions over them."""
    run_sql(op, "0008_key_audit.sql")
    run_sql(op, "0008_keys.sql")
    run_sql(op, "0008_clients_overview.sql")


def downgrade() -> None:
    """Audit rows would be lost and the clients' views be missing; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
