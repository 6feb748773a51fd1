"""The foundation: tenants, users, lanes, keys, the ledger, row-level security.

Revision ID: 0001
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FILES = ("tables", "partitions", "ledger", "release", "lookups", "security")


def upgrade() -> None:
    """Create everything."""
    for name in FILES:
        run_sql(op, f"0001_{name}.sql")


def downgrade() -> None:
    """There is nothing before the foundation; drop the database instead."""
    raise NotImplementedError("Drop the database to go back before the first revision.")
