"""Changes of jobs are told to whoever watches, and a job keeps its timeline.

Revision ID: 0021
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table and a trigger; no row is changed."""
    run_sql(op, "0021_job_events.sql")


def downgrade() -> None:
    """The web of this version reads the table; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
