"""A job made in one statement, and counts of jobs from an index alone.

Revision ID: 0024
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the function and the index; no row is changed."""
    run_sql(op, "0024_submit.sql")
    run_sql(op, "0024_lists.sql")


def downgrade() -> None:
    """Take the function away again; the index has all that the one before it had."""
    op.execute(
        "DROP FUNCTION ledger_submit(uuid, uuid, text, text, text, integer, text[], jsonb, text, timestamptz, integer, uuid, json, integer, text)"
    )
