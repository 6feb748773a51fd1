"""What the API asks: a job's rate and last progress, and a lane's load, each from an index.

Revision ID: 0002
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, the trigger and the functions."""
    run_sql(op, "0002_http.sql")


def downgrade() -> None:
    """Nothing depends on them but the API of this version."""
    op.execute("""
        DROP FUNCTION lane_presence(text, double precision);
        DROP TRIGGER chunks_progress ON chunks;
        DROP FUNCTION chunks_note_progress();
        ALTER TABLE chunks DROP COLUMN progress_at, DROP COLUMN mark_at, DROP COLUMN mark_done,
            DROP COLUMN prior_at, DROP COLUMN prior_done;
    """)
