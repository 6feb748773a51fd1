"""A job made in one statement.

Revision ID: 0024
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the function; no row is changed."""
    run_sql(op, "0024_submit.sql")


def downgrade() -> None:
    """Take it away again."""
    op.execute(
        "DROP FUNCTION ledger_submit(uuid, uuid, text, text, text, integer, text[], jsonb, text, timestamptz, integer, uuid, json, integer, text)"
    )
