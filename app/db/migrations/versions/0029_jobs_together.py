"""Jobs made together, and callers with the version of what is known of them.

Revision ID: 0029
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make two functions; no row is changed."""
    run_sql(op, "0029_jobs_together.sql")


def downgrade() -> None:
    """Take the functions away again: what was there before needs neither."""
    op.execute("DROP FUNCTION ledger_submit_many(uuid, jsonb)")
    op.execute("DROP FUNCTION auth_caller(uuid, bytea)")
